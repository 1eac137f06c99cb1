"""Points in time as users name them, as one text that means the same on every machine, and back. Pure.

A config keeps such a text (``2024-05-07T12:38:03+00:00``, ``1 month ago``), so that equal configs are equal bytes;
`revisions` asks what it means when it looks for a commit. The rules, all in UTC: a datetime without a zone is UTC; a
date is the end of that day; months and years go back to the same day of the month at the same time, or to the month's
last day where it has no such day.
"""

from __future__ import annotations

import calendar
import re
from dataclasses import dataclass, fields
from datetime import date, datetime, time, timedelta, timezone

from ...doltdb.fields import described
from ...doltdb.patterns import pattern
from ..errors import InvalidConfig

UNITS = ("years", "months", "weeks", "days", "hours", "minutes", "seconds")

_DATE = pattern(r"\d{4}-\d\d-\d\d\Z")
_NUMBER = r"(\d{1,12}(?:\.\d{1,12})?)"
_PART = pattern(rf"{_NUMBER}\s+(year|month|week|day|hour|minute|second)s?(?:\s*,)?(?:\s+and)?(?:\s+|\Z)")
_AGO = pattern(r"(.*\S)\s+ago\Z", re.IGNORECASE)


@described
@dataclass(frozen=True)
class Ago:
    """A time before now, by the calendar: ``Ago(months=1)`` is the same day of the last month, at the same time (UTC).

    Years and months are taken off first: the day of the month stays, or is the month's last one where it has no such
    day. Then the other units are taken off, which are always equally long.

    >>> str(Ago(months=1, days=2))
    '1 month 2 days ago'
    >>> Ago(months=1).before(datetime(2024, 3, 31, 12, tzinfo=timezone.utc)).isoformat()
    '2024-02-29T12:00:00+00:00'
    """

    years: int = 0
    """Calendar years. Example: ``Ago(years=1)``."""

    months: int = 0
    """Calendar months. Example: ``Ago(months=1)``."""

    weeks: float = 0
    """Weeks of 7 days. Example: ``Ago(weeks=2)``."""

    days: float = 0
    """Days of 24 hours. Example: ``Ago(days=1)``."""

    hours: float = 0
    """Hours. Example: ``Ago(hours=1.5)``."""

    minutes: float = 0
    """Minutes. Example: ``Ago(minutes=30)``."""

    seconds: float = 0
    """Seconds. Example: ``Ago(seconds=10)``."""

    def __post_init__(self) -> None:
        given = [getattr(self, f.name) for f in fields(self)]
        whole = all(isinstance(value, int) for value in given[:2])
        if not whole or not all(isinstance(value, (int, float)) and value >= 0 for value in given):
            raise InvalidConfig(f"Cannot use {self!r}: years and months are whole numbers, and nothing is below zero.")
        if not any(given):
            raise InvalidConfig(f"Cannot use {self!r}: it is no time ago. Leave as_of out for the present.")

    def before(self, now: datetime) -> datetime:
        """Return the moment that is this long before ``now``, which has a zone."""
        now = now.astimezone(timezone.utc)
        month = now.year * 12 + now.month - 1 - 12 * self.years - self.months
        try:
            year, index = divmod(month, 12)
            day = min(now.day, calendar.monthrange(year, index + 1)[1])
            moment = now.replace(year=year, month=index + 1, day=day)
            return moment - timedelta(**{unit: getattr(self, unit) for unit in UNITS[2:]})
        except (ValueError, OverflowError) as error:
            raise InvalidConfig(f"Cannot go back {str(self)[:-4]}: that is before the year 1.") from error

    def __str__(self) -> str:
        parts = [(getattr(self, unit), unit) for unit in UNITS]
        return " ".join(f"{_plain(n)} {unit[:-1] if n == 1 else unit}" for n, unit in parts if n) + " ago"


def _plain(number: float) -> str:
    return f"{number:f}".rstrip("0").rstrip(".") if isinstance(number, float) else str(number)


def to_text(value: object) -> str:
    """Return a point in time as the text that stands for it; a text is its own.

    >>> to_text(datetime(2024, 5, 7, 12, 38, 3)), to_text(date(2024, 5, 7)), to_text(timedelta(days=30))
    ('2024-05-07T12:38:03+00:00', '2024-05-07T23:59:59.999999+00:00', '2592000 seconds ago')

    Raises:
        InvalidConfig: it is none.
    """
    if isinstance(value, str):
        return value
    if isinstance(value, datetime):  # pandas' Timestamp is one
        return _in_utc(value).isoformat()
    if isinstance(value, date):
        return _end_of(value).isoformat()
    if isinstance(value, timedelta):
        if value <= timedelta(0):
            raise InvalidConfig(f"Cannot go back {value!r}: give a timedelta above zero, for the time before now.")
        seconds = value // timedelta(seconds=1)
        exact = value == timedelta(seconds=seconds)
        return str(Ago(seconds=seconds if exact else value / timedelta(seconds=1)))
    if isinstance(value, Ago):
        return str(value)
    raise InvalidConfig(
        f"Cannot use {value!r} as a point in time or a revision: it is a {type(value).__name__}. Give a branch, tag, "
        "hash or HEAD~1 as text, a datetime, a date, a timedelta or Ago(...)."
    )


def parse(text: str, *, now: datetime) -> datetime | None:
    """Return the moment in UTC that ``text`` means, or None if it does not read as a time.

    >>> now = datetime(2024, 3, 31, tzinfo=timezone.utc)
    >>> parse("1 month ago", now=now).isoformat()
    '2024-02-29T00:00:00+00:00'
    >>> parse("2024-02-10", now=now).isoformat()
    '2024-02-10T23:59:59.999999+00:00'
    >>> parse("main", now=now)
    """
    ago = _AGO.match(text.strip())
    if ago is not None:
        return _ago(ago[1], now)
    try:
        if _DATE.match(text):
            return _end_of(date.fromisoformat(text))
        moment = datetime.fromisoformat(text[:-1] + "+00:00" if text[-1:] in ("Z", "z") else text)
    except ValueError:
        return None
    return _in_utc(moment) if len(text) > 10 else None  # short forms read as hashes too


def _ago(text: str, now: datetime) -> datetime | None:
    given: dict[str, float] = {}
    while text:
        part = _PART.match(text)
        if part is None or f"{part[2]}s" in given:
            return None
        given[f"{part[2]}s"] = float(part[1]) if "." in part[1] else int(part[1])
        text = text[part.end() :]
    return Ago(**given).before(now)  # type: ignore[arg-type]  # a fraction of a month is refused there


def _in_utc(moment: datetime) -> datetime:
    plain = datetime(*moment.timetuple()[:6], moment.microsecond, moment.tzinfo, fold=moment.fold)
    try:
        return plain.replace(tzinfo=timezone.utc) if moment.tzinfo is None else plain.astimezone(timezone.utc)
    except OverflowError as error:
        raise InvalidConfig(f"Cannot use {moment.isoformat()!r}: in UTC it is not in the years 1 to 9999.") from error


def _end_of(day: date) -> datetime:
    return datetime.combine(day, time.max, timezone.utc)


def utc_text(moment: datetime | None) -> str | None:
    """Return the moment of a commit as text, ISO 8601 in UTC with microseconds, as it travels.

    >>> utc_text(datetime(2024, 5, 7, 12, tzinfo=timezone.utc))
    '2024-05-07T12:00:00.000000Z'
    """
    return None if moment is None else f"{moment:%Y-%m-%dT%H:%M:%S.%f}Z"

"""Points in time: one text that means the same on every machine, and a calendar that can be told in one sentence."""

from __future__ import annotations

from datetime import date, datetime, timedelta, timezone

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flytekitplugins.dolt.errors import InvalidConfig
from flytekitplugins.dolt.model.timepoints import Ago, parse, to_text

NOW = datetime(2024, 3, 31, 12, 30, tzinfo=timezone.utc)
BERLIN = timezone(timedelta(hours=2))


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ("main", "main"),
        (datetime(2024, 5, 7, 12, 38, 3), "2024-05-07T12:38:03+00:00"),
        (datetime(2024, 5, 7, 12, 38, 3, 5, BERLIN), "2024-05-07T10:38:03.000005+00:00"),
        (pd.Timestamp("2024-05-07 12:38:03.123456", tz="UTC"), "2024-05-07T12:38:03.123456+00:00"),
        (date(2024, 5, 7), "2024-05-07T23:59:59.999999+00:00"),
        (timedelta(days=1, seconds=1), "86401 seconds ago"),
        (timedelta(milliseconds=1500), "1.5 seconds ago"),
        (Ago(months=1), "1 month ago"),
        (Ago(years=1, days=2, hours=0.5), "1 year 2 days 0.5 hours ago"),
    ],
)
def test_each_way_to_name_a_time_has_one_text(given: object, text: str) -> None:
    """What travels is a text without a local time in it."""
    assert to_text(given) == text


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2024-05-07T12:38:03+00:00", "2024-05-07T12:38:03+00:00"),
        ("2024-05-07T12:38:03+02:00", "2024-05-07T10:38:03+00:00"),
        ("2024-05-07T12:38:03Z", "2024-05-07T12:38:03+00:00"),
        ("2024-05-07 12:38", "2024-05-07T12:38:00+00:00"),
        ("2024-05-07", "2024-05-07T23:59:59.999999+00:00"),
        ("1 month ago", "2024-02-29T12:30:00+00:00"),
        ("1 year ago", "2023-03-31T12:30:00+00:00"),
        ("13 months ago", "2023-02-28T12:30:00+00:00"),
        ("1 month, 1 day and 30 minutes ago", "2024-02-28T12:00:00+00:00"),
        ("1.5 hours ago", "2024-03-31T11:00:00+00:00"),
        ("2 Weeks ago", None),
        ("main", None),
        ("2024", None),
        ("20240507", None),
        ("month ago", None),
        ("1 month 2 months ago", None),
        ("", None),
        ("HEAD~1", None),
    ],
)
def test_a_text_is_read_as_a_time_or_not(text: str, moment: str | None) -> None:
    """What reads as a time is one moment in UTC; names are none."""
    found = parse(text, now=NOW)
    assert (found.isoformat() if found else None) == moment


@pytest.mark.parametrize(
    ("now", "months", "then"),
    [
        ("2024-03-15", 1, "2024-02-15"),
        ("2024-03-31", 1, "2024-02-29"),
        ("2023-03-31", 1, "2023-02-28"),
        ("2024-01-31", 1, "2023-12-31"),
        ("2024-05-31", 3, "2024-02-29"),
        ("2024-12-31", 12, "2023-12-31"),
    ],
)
def test_a_month_ago_is_the_same_day_or_the_last(now: str, months: int, then: str) -> None:
    """The day of the month stays, and where there is none of that number it is the month's last."""
    found = Ago(months=months).before(datetime.fromisoformat(now).replace(tzinfo=timezone.utc))
    assert found.date().isoformat() == then


@given(
    st.builds(
        Ago,
        years=st.integers(0, 3),
        months=st.integers(0, 30),
        weeks=st.integers(0, 9),
        days=st.integers(0, 400),
        hours=st.integers(0, 100),
        minutes=st.integers(0, 100),
        seconds=st.integers(1, 100),
    )
)
def test_a_span_and_its_text_are_the_same(ago: Ago) -> None:
    """What travels as text goes back as far as the value did."""
    assert parse(str(ago), now=NOW) == ago.before(NOW)


@given(st.datetimes(min_value=datetime(1000, 1, 1), timezones=st.sampled_from([timezone.utc, BERLIN])))
def test_a_moment_and_its_text_are_the_same(moment: datetime) -> None:
    """No microsecond and no zone is lost on the way."""
    assert parse(to_text(moment), now=NOW) == moment


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (timedelta(0), "timedelta"),
        (timedelta(days=-1), "timedelta"),
        (7, "int"),
        ([], "list"),
    ],
)
def test_what_is_no_time_is_refused(wrong: object, words: str) -> None:
    """The error says what can be given."""
    with pytest.raises(InvalidConfig, match=words):
        to_text(wrong)


@pytest.mark.parametrize("wrong", [{}, {"months": -1}, {"months": 1.5}, {"days": -2}, {"years": "1"}])
def test_a_span_that_makes_no_sense_is_refused(wrong: dict[str, object]) -> None:
    """Nothing, less than nothing and half a month are no time ago."""
    with pytest.raises(InvalidConfig, match="Ago"):
        Ago(**wrong)  # type: ignore[arg-type]


def test_before_the_year_one_is_refused() -> None:
    """The calendar ends somewhere, with words."""
    with pytest.raises(InvalidConfig, match="year 1"):
        Ago(years=3000).before(NOW)

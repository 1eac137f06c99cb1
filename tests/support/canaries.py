"""Canaries: passwords that are known again wherever a piece of them turns up, in every position that an address has.

An address is generated from the forms of a password, the users beside it and the positions in an address; what may not
hold a password is looked through by `leaks`, tracebacks with the variables of all frames included.
"""

from __future__ import annotations

import pickle
import random
import string
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

TESTS = str(Path(__file__).parents[1])
"""Where the callers are, whose own variables hold what they give away."""

ODD = ":/?#@%&=+ '\"\\{}[]()<>;,!$*~^|üж😀\t"


@dataclass(frozen=True)
class Canary:
    """A password whose two ends are words that stand nowhere else."""

    head: str
    tail: str
    middle: str = ""

    @property
    def value(self) -> str:
        """The password."""
        return f"{self.head}{self.middle}{self.tail}"

    def within(self, text: str | bytes) -> bool:
        """Whether a piece of it is in a text; however that is quoted, words of letters stay as they are."""
        given = text.decode("utf-8", "replace") if isinstance(text, bytes) else text
        return self.head in given or self.tail in given


def canary(rng: random.Random, *, odd: bool) -> Canary:
    """Return a new one; an odd one has signs in the middle that mean something in addresses, quotes or code."""
    head, tail = ("".join(rng.choices(string.ascii_letters, k=12)) for _ in range(2))
    return Canary(head, tail, "".join(rng.choices(ODD, k=rng.randint(1, 6))) if odd else "")


USERS = ("me", "u/s", "u?s", "u#s", "u@s", "u s", "ü", "a.b", "")
SCHEMES = ("mysql+pymysql", "mysql", "MySQL", "https", "postgresql", "ssh", "file", "git+https")
NAMES = ("password", "passwd", "PWD", "p%61ssword", "access_token", "secret_access_key", "sig")

Position = Callable[[random.Random, str], str]


def _beside_the_user(rng: random.Random, password: str) -> str:
    return f"{rng.choice(SCHEMES)}://{rng.choice(USERS)}:{password}@h.example:3306/db"


def _in_a_file_name(rng: random.Random, password: str) -> str:
    return f"mysql:/me:{password}@h.example/db"


def _as_a_parameter(rng: random.Random, password: str) -> str:
    return f"{rng.choice(SCHEMES)}://me@h.example/db{rng.choice('?&#')}{rng.choice(NAMES)}={password}"


def _behind_a_parameter(rng: random.Random, password: str) -> str:
    return f"mysql://me@h.example/db?ssl_ca=/home/a@b/ca.pem&{rng.choice(NAMES)}={password}"


def _in_the_second(rng: random.Random, password: str) -> str:
    return f"mysql://me@h.example/db mysql://{rng.choice(USERS)}:{password}@h.example/db"


def _encoded_whole(rng: random.Random, password: str) -> str:
    return f"mysql{quote(f'://me:{password}@h.example/db', safe='')}"


def _as_a_token(rng: random.Random, password: str) -> str:
    form = rng.choice(("{}", "{}:", "{}:x-oauth-basic"))
    return f"https://{form.format(quote(password, safe=''))}@h.example/db"


POSITIONS: dict[str, Position] = {
    position.__name__.strip("_"): position
    for position in (
        _beside_the_user,
        _in_a_file_name,
        _as_a_parameter,
        _behind_a_parameter,
        _in_the_second,
        _encoded_whole,
        _as_a_token,
    )
}


def addresses(rng: random.Random, count: int) -> Iterator[tuple[Canary, str]]:
    """Give at least so many canaries, each in an address; every position comes with a plain, an odd, an encoded one."""
    for number in range(-(-count // (3 * len(POSITIONS)))):
        for position in POSITIONS.values():
            for form in ("plain", "odd", "encoded"):
                bird = canary(rng, odd=form != "plain")
                yield bird, position(rng, quote(bird.value, safe="") if form == "encoded" else bird.value)
        assert number < count


def texts_of(error: BaseException) -> Iterator[tuple[str, str]]:
    """Give where something of an error can be read, and what stands there; of its whole chain, both ways."""
    todo, seen = [error], []
    while todo:
        at = todo.pop()
        seen.append(at)
        yield "message", f"{at!s} {at!r} {at.args!r}"
        yield "facts", repr(vars(at))
        yield "pickle", repr(pickle.dumps(at.args)) if type(at).__module__ != "builtins" else ""
        found = traceback.TracebackException(type(at), at, at.__traceback__, capture_locals=True)
        for frame in found.stack:
            if not frame.filename.startswith(TESTS):
                yield f"variables of {frame.name} in {frame.filename}:{frame.lineno}", repr(frame.locals)
        todo += [one for one in (at.__cause__, at.__context__) if one is not None and one not in seen]


def leaks(bird: Canary, *, error: BaseException | None = None, texts: Iterator[str] | list[str] = ()) -> list[str]:  # type: ignore[assignment]
    """Return where a canary can be seen; a list that should be empty."""
    shown = [("text", text) for text in texts] + (list(texts_of(error)) if error is not None else [])
    return [f"{where}: {text[:400]}" for where, text in shown if bird.within(text)]

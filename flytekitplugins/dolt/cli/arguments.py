"""The parser of the command line, which says in plain words what it does not understand.

argparse finds out what is wrong and says so in its own way; here that becomes a sentence, without the passwords that
were typed, and a value (`Misuse`) that `__main__` prints as text or JSON.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from typing import NoReturn

from ...doltdb.redaction import masked, visible

PROGRAM = "python -m flytekitplugins.dolt"

_WORDS = (
    (r"the following arguments are required: (.+)", r"\1 is missing"),
    (r"argument (\S+): expected one argument", r"\1 takes a value, and none is there"),
    (r"argument command: invalid choice: (.+?) \(choose from (.+)\)", r"there is no command \1. The commands are \2"),
    (r"argument (\S+): invalid choice: (.+?) \(choose from (.+)\)", r"\1 is one of \3, and not \2"),
    (r"argument (\S+): ignored explicit argument .+", r"\1 takes no value"),
    (r"argument (\S+): (.+)", r"\1 \2"),
    (r"ambiguous option: (\S+) could match (.+)", r"\1 could be \2"),
    (r"unrecognized arguments: (.+)", r"it does not take \1"),
)
"""What argparse says, and how that is put here; the first that fits."""


class Misuse(Exception):
    """The arguments make no sense; nothing was done."""

    def __init__(self, message: str, usage: str) -> None:
        super().__init__(message)
        self.usage = usage
        """How the command is used, on one or more lines."""


class Parser(argparse.ArgumentParser):
    """Raises `Misuse` instead of ending the program."""

    def error(self, message: str) -> NoReturn:
        """Raise what argparse has found, in plain words.

        Raises:
            Misuse: always.
        """
        said = visible(masked(_plain(message)))
        command = self.prog.removeprefix(PROGRAM).strip()
        what = f"run `{command}`" if command else "run this"
        raise Misuse(f"Cannot {what}: {said}. `{self.prog} --help` lists what there is.", self.format_usage())

    def parse_known_args(  # type: ignore[override]  # it has one signature here, since nobody gives a namespace type
        self, args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None
    ) -> tuple[argparse.Namespace, list[str]]:
        """Parse, and refuse what is not known in the name of the verb that does not know it.

        Raises:
            Misuse: an argument is not known, or options stand before the verb.
        """
        self._refuse_options_first(args or ())
        found, unknown = super().parse_known_args(args, namespace)
        if unknown:
            self.error(f"unrecognized arguments: {' '.join(unknown)}")
        return found, unknown

    def _refuse_options_first(self, arguments: Sequence[str]) -> None:
        """Refuse what argparse would take for a verb: the value of an option that stands before the verb."""
        first = next(iter(arguments), "").partition("=")[0]
        if self._subparsers is not None and first.startswith("-") and first not in self._option_string_actions:
            self.error(f"{first} stands before the command, and belongs behind it")


def _plain(message: str) -> str:
    for said, words in _WORDS:
        if re.fullmatch(said, message, re.DOTALL):
            return re.sub(said, words, message, count=1, flags=re.DOTALL)
    return message


def count(text: str) -> int:
    """Return a number above 0, for argparse; one beyond those of SQL is as good as the largest of these.

    Raises:
        argparse.ArgumentTypeError: it is none.
    """
    number = int(text) if text.isdecimal() else 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"takes a number above 0, and {text!r} is none")
    return min(number, 2**63 - 1)


def count_from_0(text: str) -> int:
    """Return a number of 0 or above, for argparse.

    Raises:
        argparse.ArgumentTypeError: it is none.
    """
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"takes a number of 0 or above, and {text!r} is none")
    return min(int(text), 2**63 - 1)


def side(text: str) -> str:
    """Return ``SIDE`` or ``TABLE=SIDE`` as it is, for argparse.

    Raises:
        argparse.ArgumentTypeError: the side is none.
    """
    if text.rpartition("=")[2] not in ("ours", "theirs"):
        raise argparse.ArgumentTypeError(f"takes ours, theirs or TABLE=SIDE, and {text!r} is none of these")
    return text


def bound(text: str) -> tuple[str, float]:
    """Return a column and the bound that it has, for argparse.

    Raises:
        argparse.ArgumentTypeError: it is no name and number.
    """
    name, _, number = text.rpartition("=")
    try:
        found = float(number)
    except ValueError:
        found = -1.0
    if not name or not 0 <= found <= 1:
        raise argparse.ArgumentTypeError(f"takes COLUMN=SHARE, with a share from 0 to 1, and {text!r} is none")
    return name, found

"""The command line: ``python -m flytekitplugins.dolt`` with ``install``, ``doctor``, or a verb of `commands`.

It only parses arguments, calls who can answer, and turns answers into words and exit codes: 0 all is well, 1 something
is to be done or went wrong, 2 the arguments make no sense.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn, TextIO

from ..doltdb.redaction import masked, visible
from .cli import doctor
from .errors import BinaryNotFound, BinaryUnsupported, DoltError
from .server import binary, builder

try:
    from .cli import commands
except ImportError as error:  # files are missing or those of an earlier plugin, of which `doctor` tells
    _INCOMPLETE: ImportError | None = error
else:
    _INCOMPLETE = None


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if _INCOMPLETE is not None and given[:1] not in (["install"], ["doctor"]):
        _print(f"Cannot run {given}: {_INCOMPLETE}. The command `doctor` says which files are wrong.", to=sys.stderr)
        return 1
    chosen = _parser().parse_args(given)
    try:
        if chosen.command == "install":
            return _install()
        if chosen.command == "doctor":
            return _doctor(chosen.db)
        answer = chosen.answer(chosen)
        _print(answer.to_json() if chosen.json else answer.text)
        return 0
    except DoltError as error:
        _print(error, to=sys.stderr)
        return 1
    except BrokenPipeError:  # the reader has seen enough, as `head` has
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        print("Interrupted.", file=sys.stderr)
        return 130


def _print(said: object, *, to: TextIO | None = None) -> None:
    """Print what may hold names and texts of others: what would command the terminal is shown."""
    print(visible(str(said)), file=to, flush=True)


class _Parser(argparse.ArgumentParser):
    """Repeats what was typed without the passwords in it."""

    def error(self, message: str) -> NoReturn:
        super().error(visible(masked(message)))


def _parser() -> argparse.ArgumentParser:
    words = "Dolt for Flyte: versions, lineage, setup."
    parser: argparse.ArgumentParser = _Parser(prog="python -m flytekitplugins.dolt", description=words)
    verbs = parser.add_subparsers(dest="command", required=True)
    verbs.add_parser("install", help=f"build dolt {builder.DOLT_VERSION} from its sources, unless a fit one is here")
    look = verbs.add_parser("doctor", help="say what is installed, what is wrong and what to do")
    look.add_argument("--db", type=Path, metavar="PATH", help="a Dolt repository to look at as well")
    if _INCOMPLETE is None:
        commands.add_to(verbs)
    return parser


def _install() -> int:
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # an ended build cleans up, as an interrupted one does
    try:
        _print(f"{binary.find()} is here and fits; nothing to do.")
    except (BinaryNotFound, BinaryUnsupported):
        if any(candidate.explicit for candidate in binary.candidates()):
            raise  # what is built would not be used: the setting has the last word
        _print(binary.install())
    return 0


def _doctor(repository: Path | None) -> int:
    diagnosis = doctor.examine(repository)
    _print(diagnosis)
    return 1 if diagnosis.advice else 0


if __name__ == "__main__":
    sys.exit(main())

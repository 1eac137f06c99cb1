"""The command line: ``python -m flytekitplugins.dolt`` with ``install``, ``dolt``, ``doctor``, or a verb of `cli`.

It only parses arguments, calls who can answer, and turns answers into words and exit codes: 0 all is well, 1 something
is to be done or went wrong, 2 the arguments make no sense. Who answers is imported once it is known who that is.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from types import MappingProxyType
from typing import Any, TextIO

from ..doltdb.redaction import visible
from .cli import answers, at_hand, doctor, verbs
from .cli.arguments import PROGRAM, Misuse, Parser
from .cli.colours import painted, wanted
from .errors import BinaryNotFound, BinaryUnsupported, DoltError
from .server import binary, builder


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    try:
        if given[:1] == ["dolt"]:  # what follows is for dolt to read, its options and --help as well
            at_hand.run(given[1:])
        chosen = _parser().parse_args(given)
    except Misuse as misuse:
        _tell(misuse, as_json="--json" in given, before=misuse.usage)
        sys.exit(2)
    except DoltError as error:
        _tell(error, as_json=False)
        return 1
    try:
        return _run(chosen)
    except DoltError as error:
        _tell(error, as_json=getattr(chosen, "json", False))
        return 1
    except BrokenPipeError:  # the reader has seen enough, as `head` has
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        print("Interrupted.", file=sys.stderr)
        return 130


def _run(chosen: argparse.Namespace) -> int:
    if chosen.command == "install":
        # A build that is ended cleans up, as one that is interrupted does.
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        at_hand.install(release=chosen.release, sha256=chosen.sha256)
        return 0
    if chosen.command == "doctor":
        return _doctor(chosen)
    try:
        from .cli import passwords, places

        answered = verbs.answer_of(chosen.command)
    except ImportError as error:  # files are missing or those of an earlier plugin
        words = f"Cannot run `{chosen.command}`: {error}. The command `doctor` says which files are wrong."
        _print(words, to=sys.stderr)
        return 1
    given = [places.named(chosen.db), *map(places.named, getattr(chosen, "repositories", ()))]
    with passwords.given(given, variable=chosen.password_env) as (chosen.db, *chosen.repositories):
        answer = answered(chosen)
    _print(answer.to_json() if chosen.json else answer.text, colours={} if chosen.json else answer.colours)
    return 0


def _print(said: object, *, to: TextIO | None = None, colours: Mapping[str, str] = MappingProxyType({})) -> None:
    """Print what may hold names and texts of others: what would command the terminal is shown."""
    text = visible(str(said))
    print(painted(text, colours) if wanted(to or sys.stdout) else text, file=to, flush=True)


def _tell(error: Exception, *, as_json: bool, before: str = "") -> None:
    """Print an error: as JSON where the answer would have been, else as text, on standard error."""
    if as_json:
        _print(answers.failure(error))
    else:
        _print(f"{before}{error}", to=sys.stderr)


def _parser() -> argparse.ArgumentParser:
    words = "Dolt for Flyte: versions, lineage, setup."
    parser: argparse.ArgumentParser = Parser(prog=PROGRAM, description=words)
    parser.add_argument("--version", action=_Version, nargs=0, help="print the versions of this package and of dolt")
    commands = parser.add_subparsers(dest="command", metavar="command", required=True)
    words = (
        f"build dolt {builder.DOLT_VERSION} from its sources, unless a fit one is here, or fetch a release of Dolt's"
    )
    at_hand.add_options(commands.add_parser("install", help=words))
    commands.add_parser("dolt", help="run dolt with the arguments that follow, as they are; it need not be on PATH")
    look = commands.add_parser("doctor", help="say what is installed, what is wrong and what to do")
    verbs.add_place(look)
    verbs.add_to(commands)
    return parser


class _Version(argparse.Action):
    """Prints the versions and ends the program; nobody asks for them before."""

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> None:
        try:
            own = metadata.version(doctor.DISTRIBUTION)
        except metadata.PackageNotFoundError:
            own = "(not installed)"
        try:
            program = f"dolt {'.'.join(map(str, binary.version(binary.find())))}"
        except (BinaryNotFound, BinaryUnsupported):
            program = f"no dolt, which `{PROGRAM} install` builds"
        _print(f"{doctor.DISTRIBUTION} {own}, {program}")
        parser.exit()


def _doctor(chosen: argparse.Namespace) -> int:
    try:
        from .cli import passwords, places
    except ImportError:  # the doctor works nevertheless
        diagnosis = doctor.examine(Path(chosen.db) if chosen.db is not None else None)
    else:
        place = places.named(chosen.db) if chosen.db is not None else places.working()
        with passwords.given([place] if place is not None else [], variable=chosen.password_env) as given:
            diagnosis = doctor.examine(*given)
    _print(diagnosis)
    return 1 if diagnosis.advice else 0


if __name__ == "__main__":
    sys.exit(main())

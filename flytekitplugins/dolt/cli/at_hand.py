"""What makes `dolt` at hand in a shell: the verb `install`, which ends with a line to type, and the verb `dolt`.

`__main__` parses; here answers are said as they come, for a build takes minutes. What is for the shell to read, the
line that puts `dolt` on its PATH, goes to standard output, and all else to standard error.
"""

from __future__ import annotations

import argparse
import os
import shlex
import shutil
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from ...doltdb.redaction import visible
from ..errors import BinaryNotFound, BinaryUnsupported, CommandFailed, InvalidConfig
from ..server import binary, builder, releases

__all__ = ["add_options", "install", "run"]

BOTH_WAYS = (
    "Building takes minutes once, fetching seconds to a minute. Natively a million rows are read in about 1 second and "
    "100,000 written in less than 1; by SQL each takes about 8 seconds, and ten times the processor's time."
)
"""The order of magnitude of both ways, from docs/performance.md."""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the verb `install`."""
    parser.description = (
        f"Builds dolt {builder.DOLT_VERSION} from its sources, with the procedures by which rows go natively, unless a "
        f"dolt that fits is here; --release takes one of Dolt's own releases instead. {BOTH_WAYS}"
    )
    parser.add_argument(
        "--release",
        nargs="?",
        const=builder.DOLT_VERSION,
        metavar="VERSION",
        help=f"fetch this release of Dolt's own over HTTPS (default: {builder.DOLT_VERSION}); rows then go by SQL",
    )
    parser.add_argument(
        "--sha256",
        metavar="DIGEST",
        help="what the release's archive must have; without it the digest in the release's description counts",
    )


def install(*, release: str | None = None, sha256: str | None = None) -> None:
    """Build `dolt` unless one that fits is here, or fetch a release; say what to type so that the shell finds it."""
    if release is not None:
        _say_what_to_type(_install_release(release, sha256=sha256))
        return
    if sha256 is not None:
        raise InvalidConfig("Cannot compare a SHA-256 with what is built here: give --sha256 together with --release.")
    try:
        found = binary.find()
    except (BinaryNotFound, BinaryUnsupported):
        if any(candidate.explicit for candidate in binary.candidates()):
            raise  # what is built would not be used: the setting has the last word
        found = None
    if found is None or found == releases.installed():  # a release is here because it was asked for; now this is
        found = binary.install()
        _say(f"{found} is built.")
    else:
        _say(f"{found} is here and fits; nothing to do.")
    _say_what_to_type(found)


def _install_release(version: str, *, sha256: str | None) -> Path:
    for candidate in binary.candidates():
        if candidate.explicit:
            raise InvalidConfig(
                f"Cannot install a release of Dolt: {candidate.origin} names the dolt to use. Unset it first."
            )
    _say(f"Rows go by SQL with a release of Dolt's own. {BOTH_WAYS}")
    taken = binary.install_release(version, sha256=sha256, progress=_say)
    found = binary.find()
    _say(f"Release {version} is {taken}.")
    if found != taken:
        _say(f"But {found} comes first, so this package uses that one. To use the release: export DOLT_BIN={taken}")
    return taken


def _say_what_to_type(dolt: Path) -> None:
    on_path = shutil.which("dolt")
    if on_path is not None and Path(on_path).resolve() == dolt.resolve():
        _say("The shell finds it as `dolt`.")
        return
    _say("`python -m flytekitplugins.dolt dolt ...` runs it. So that this shell finds it as `dolt`, too, type:")
    folder, name = str(dolt.parent), str(dolt)
    line = f'export PATH={shlex.quote(folder)}:"$PATH"' if dolt.name == "dolt" else f"alias dolt={shlex.quote(name)}"
    print(visible(line), flush=True)


def _say(words: str) -> None:
    print(visible(words), file=sys.stderr, flush=True)


def run(arguments: Sequence[str]) -> NoReturn:
    """Become the `dolt` that this package uses, with ``arguments`` as they are: input, output, status, signals are its.

    Raises:
        BinaryNotFound, BinaryUnsupported: as `binary.find`.
        CommandFailed: it could not be started.
    """
    argv = [str(binary.find()), *arguments]
    for number in (signal.SIGPIPE, signal.SIGXFSZ):  # Python ignores them, and what is ignored stays so
        signal.signal(number, signal.SIG_DFL)
    try:
        os.execv(argv[0], argv)  # noqa: S606  # no shell is the point
    except OSError as error:
        raise CommandFailed(f"Cannot run {argv[0]!r}: {error}.", argv=argv) from error

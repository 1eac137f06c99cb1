"""Looks at this installation, and on request at one repository, and says in words what is there and what to do.

It changes nothing and loads no package it reports on, so it also works where those are broken. The command line in
`__main__` prints what `examine` returns; the package itself calls `conflicting_distributions` when it is imported.
"""

from __future__ import annotations

import base64
import csv
import fcntl
import hashlib
import os
import sys
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import CommandFailed, DoltError
from ..model.location import is_url, refuses_passwords, without_password
from ..server import binary, builder, files, local_server, procedures

if TYPE_CHECKING:
    from ..repository.remotes import Where

__all__ = ["Diagnosis", "conflicting_distributions", "examine"]

DISTRIBUTION = "flytekitplugins-doltdb"
EARLIER = {
    "flytekitplugins-dolt": "flytekitplugins/dolt/schema.py",
    "flytekitplugins-sqlalchemy": "flytekitplugins/sqlalchemy/task.py",
}
"""The earlier plugins, each with a file of theirs that this distribution has, too."""

_NEEDED = ("flytekit", "pandas", "pyarrow", "pymysql", "sqlalchemy", "doltcli")
_OF_FLYTEKIT = ("flytekit", "doltcli")
"""What is needed for tasks of flytekit, and is not there where those of Flyte 2 are run without it."""

_FSCK_TIMEOUT_S = 600.0
_REINSTALL = f"pip install --force-reinstall --no-deps {DISTRIBUTION}"


@dataclass
class Diagnosis:
    """What was found, line by line, and what the user should do about it."""

    findings: list[str] = field(default_factory=list)
    """What is there, in the order in which it was looked at; indented lines belong to the one above."""
    advice: list[str] = field(default_factory=list)
    """One finished sentence per thing to do; empty when all is well."""

    def __str__(self) -> str:
        """Return the whole report, ending with what to do or with "All is well."."""
        ending = ["What to do:", *(f"  - {line}" for line in self.advice)] if self.advice else ["All is well."]
        return "\n".join([*self.findings, "", *ending])


@refuses_passwords
def examine(repository: Where | None = None) -> Diagnosis:
    """Look at Python, the packages, every `dolt` and, if given, ``repository``; what is found wrong is no error.

    ``repository`` is a folder, the URL of a server, or a config of a table there, which brings the server's secret.
    """
    diagnosis = Diagnosis()
    _examine_packages(diagnosis)
    _examine_own_files(diagnosis)
    usable = _examine_binaries(diagnosis)
    folder: Any = getattr(repository, "db_path", repository)
    if is_url(folder) or getattr(repository, "remote_conf", None) is not None:
        _examine_elsewhere(repository, diagnosis)  # type: ignore[arg-type]  # it is not None
    elif folder is not None:
        _examine_repository(Path(folder).absolute(), diagnosis, usable=usable)
    return diagnosis


def conflicting_distributions() -> list[str]:
    """Say, in one sentence for each earlier plugin that is installed too, whose files win.

    They ship files of the same names as this distribution. An absent one costs a millisecond.
    """
    return [said for name in EARLIER if (said := _conflict_with(name)) is not None]


def _conflict_with(name: str) -> str | None:
    try:
        other = metadata.distribution(name)
    except metadata.PackageNotFoundError:
        return None
    ours = Path(__file__).parents[3] / EARLIER[name]
    theirs = Path(str(other.locate_file(EARLIER[name])))
    found = f"The distribution {name!r} {other.version} is installed too and ships the same package"
    if not _is_same_file(ours, theirs):
        return (
            f"{found}: the files of {DISTRIBUTION!r} in {str(ours.parent)!r} win only because that folder comes first "
            f"on Python's path, so run `pip uninstall {name}`."
        )
    winner = name if _recorded(other).get(theirs) == _digest(theirs) else DISTRIBUTION
    return (
        f"{found} in the same folder, {str(ours.parent)!r}, where the {ours.name} of {winner!r} wins and the others "
        f"are mixed, so run `pip uninstall {name}` and then `{_REINSTALL}`, since both remove files of that name."
    )


def _is_same_file(one: Path, other: Path) -> bool:
    try:
        return one.samefile(other)
    except OSError:
        return False


def _recorded(distribution: metadata.Distribution) -> dict[Path, str]:
    """Return the digest that the installer noted for each Python file of the packages, by absolute path.

    Its record is read here since ``Distribution.files`` leaves out files that are gone from Python 3.12 on.
    """
    noted = csv.reader((distribution.read_text("RECORD") or "").splitlines())
    return {
        Path(str(distribution.locate_file(row[0]))): row[1].removeprefix("sha256=")
        for row in noted
        if len(row) > 1
        and row[0].startswith(("flytekitplugins/dolt/", "flytekitplugins/sqlalchemy/"))
        and row[0].endswith(".py")
    }


def _digest(file: Path) -> str | None:
    """Return the file's SHA-256 in the form that installers note it, None when it cannot be read."""
    try:
        return base64.urlsafe_b64encode(hashlib.sha256(file.read_bytes()).digest()).rstrip(b"=").decode("ascii")
    except OSError:
        return None


def _examine_packages(diagnosis: Diagnosis) -> None:
    diagnosis.findings.append(f"Python {'.'.join(str(part) for part in sys.version_info[:3])} ({sys.executable})")
    with_flyte2 = _version("flyte") is not None
    for name in (DISTRIBUTION, *_NEEDED, *(("flyte",) if with_flyte2 else ())):
        version = _version(name)
        diagnosis.findings.append(f"{name} {version or 'is not installed'}")
        if version is None and not (with_flyte2 and name in _OF_FLYTEKIT):
            diagnosis.advice.append(f"Install the missing package: `pip install {name}`.")


def _version(distribution: str) -> str | None:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def _examine_own_files(diagnosis: Diagnosis) -> None:
    conflicts = conflicting_distributions()
    diagnosis.findings += [conflict.split(" and ships ")[0] for conflict in conflicts]
    diagnosis.advice += conflicts
    try:
        recorded = _recorded(metadata.distribution(DISTRIBUTION))
    except metadata.PackageNotFoundError:
        return
    strange = sorted(file.name for file, digest in recorded.items() if _digest(file) != digest)
    if strange:
        diagnosis.findings.append(f"files of this package that are missing or were changed: {', '.join(strange)}")
        if not conflicts:  # else that advice has said so
            diagnosis.advice.append(f"Put this package's own files back: `{_REINSTALL}`.")


def _examine_binaries(diagnosis: Diagnosis) -> bool:
    """Report each place of `binary.candidates`, and return whether `binary.find` has something to return."""
    diagnosis.findings.append(f"dolt (this package was tried with {builder.DOLT_VERSION})")
    used = refused = False
    for candidate in binary.candidates():
        verdict = _verdict(candidate)
        if not used and not refused and candidate.path is not None and candidate.problem is None:
            used, verdict = True, f"{verdict}, used"
        refused = refused or (candidate.explicit and candidate.problem is not None and not used)
        diagnosis.findings.append(f"  {candidate.origin}: {verdict}")
    if not used:
        diagnosis.advice.append(_binary_advice())
        return False
    why = procedures.unknown(procedures.version_of_program())
    diagnosis.findings.append("  rows go natively, as files" if why is None else f"  rows go by SQL: {why}")
    return True


def _verdict(candidate: binary.Candidate) -> str:
    place = "" if candidate.path is None else f"{candidate.path} "
    if candidate.problem is not None:
        return f"{place}{candidate.problem}"
    return f"{place}is version {'.'.join(str(part) for part in candidate.version or ())}"


def _binary_advice() -> str:
    try:
        return f"Run doctor again: {binary.find()} has just appeared."
    except DoltError as error:
        return str(error)


def _examine_repository(repository: Path, diagnosis: Diagnosis, *, usable: bool) -> None:
    diagnosis.findings.append(f"Repository {repository}")
    if not binary.is_repository(repository):
        diagnosis.findings.append("  is not a Dolt repository: it has no .dolt/noms/manifest")
        diagnosis.advice.append(
            f"Make a repository there, `dolt init` in {str(repository)!r}, or name its very folder."
        )
        return
    try:
        local_server.refuse_strange_files(repository)
    except DoltError as error:
        diagnosis.findings.append("  has something else where Dolt has a file")
        diagnosis.advice.append(str(error))
        return
    _examine_identity(repository, diagnosis)
    locked = _is_locked(repository / ".dolt" / "noms" / "LOCK", diagnosis)
    _examine_server(repository, diagnosis, locked=locked)
    if locked:
        diagnosis.findings.append("  dolt fsck: skipped, since another process holds the repository")
    elif usable:
        _check_storage(repository, diagnosis)


def _examine_elsewhere(where: Where, diagnosis: Diagnosis) -> None:
    """Look at a repository that a server has, or a remote, of which a clone is looked at."""
    remote = getattr(where, "remote_conf", None)
    address = remote.url if remote is not None else getattr(where, "db_path", where)
    diagnosis.findings.append(f"Repository {without_password(str(address))}")
    try:
        from ..repository import hosts, refs, remotes
        from ..repository.connections import connect
    except ImportError as error:
        diagnosis.findings.append(f"  cannot be looked at with what is installed: {error}")
        return
    try:
        place = remotes.location_to_read(where)
        with connect(place) as connection:
            ((version,),) = connection.query("SELECT DOLT_VERSION()")
            heads, tls = refs.heads(connection), connection.endpoint.tls
            branch = connection.active_branch()
    except DoltError as error:
        diagnosis.findings.append("  cannot be used")
        diagnosis.advice.append(str(error))
        return
    diagnosis.findings.append(f"  has {len(heads):,} branches, and {branch!r} is checked out")
    if remote is None:
        way = "in the clear" if tls is None else "by TLS"
        diagnosis.findings.append(f"  is served by Dolt {version}, and reached {way}")
        diagnosis.findings.append(f"  commits from here are by {hosts.author_of(place)}")


def _examine_identity(repository: Path, diagnosis: Diagnosis) -> None:
    who = binary.identity(repository)
    diagnosis.findings.append(f"  commits as {who}" if who else "  has no identity to commit as")
    if who is None:
        diagnosis.advice.append(
            "Tell Dolt who you are: `dolt config --global --add user.name 'Your Name'` and "
            "`dolt config --global --add user.email you@example.com`."
        )


def _is_locked(lock: Path, diagnosis: Diagnosis) -> bool:
    """Try the lock that every Dolt process takes on a repository it opens, and give it back at once."""
    try:
        held = files.open_regular(lock)
    except OSError as error:
        diagnosis.findings.append(f"  its lock cannot be tried: {error}")
        return False
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        diagnosis.findings.append("  is held by another process, such as a dolt sql-server or a running task")
        return True
    except OSError as error:
        diagnosis.findings.append(f"  its lock cannot be tried: {error}")
        return False
    finally:
        os.close(held)
    diagnosis.findings.append("  is not held by any process")
    return False


def _examine_server(repository: Path, diagnosis: Diagnosis, *, locked: bool) -> None:
    try:
        address = local_server.noticed(repository)
    except FileNotFoundError:
        diagnosis.findings.append("  has no .dolt/sql-server.info, so no dolt sql-server says it serves it")
        return
    except (OSError, ValueError) as error:
        why = (error.strerror or "") if isinstance(error, OSError) else "it is none of Dolt's"
        diagnosis.findings.append(f"  has a .dolt/sql-server.info that cannot be read: {why}")
        return
    remark = "" if locked else ", but the lock is free: that server was killed, and the next one replaces the file"
    diagnosis.findings.append(f"  .dolt/sql-server.info names process {address.pid} on port {address.port}{remark}")


def _check_storage(repository: Path, diagnosis: Diagnosis) -> None:
    try:
        binary.run(["fsck", "--quiet"], cwd=repository, timeout_s=_FSCK_TIMEOUT_S)
    except CommandFailed as error:
        said = str(error)
        if "GhostValue" in said:
            diagnosis.findings.append("  dolt fsck: cannot check this one, a shallow clone")
            return
        diagnosis.findings.append("  dolt fsck: found a problem")
        diagnosis.advice.append(f"Stop writing to {str(repository)!r} and restore it from a clone. {said}")
    else:
        diagnosis.findings.append("  dolt fsck: no problems found")

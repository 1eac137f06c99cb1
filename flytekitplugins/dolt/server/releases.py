"""Fetches a release of Dolt's own into the user's cache folder, and remembers which one was fetched last.

A program is taken over HTTPS only, and only as the archive whose SHA-256 the release's description or the caller gives.
It knows nothing of our procedures, so rows go by SQL with it. Whether it is used is for `binary.find` to say.
"""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import json
import platform
import re
import shutil
import ssl
import subprocess
import tarfile
import tempfile
import time
import urllib.error
import urllib.request
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from ..errors import InvalidConfig, ReleaseFailed
from . import builder

__all__ = ["fetch", "forget", "installed", "parse"]

PLACE = "https://api.github.com/repos/dolthub/dolt/releases"
"""Where Dolt describes its releases."""

Version = tuple[int, int, int]
Progress = Callable[[str], None]

_TIMEOUT_S = 60.0
_DESCRIPTION_BYTES = 8 << 20
_PROGRAM_BYTES = 1 << 30
_CHUNK_BYTES = 1 << 20
_DIGEST = re.compile(r"[0-9a-f]{64}")
_SYSTEMS = {"Linux": "linux", "Darwin": "darwin"}
_MACHINES = {"x86_64": "amd64", "amd64": "amd64", "aarch64": "arm64", "arm64": "arm64"}


@dataclass(frozen=True)
class _Archive:
    """What the description says of the archive for this platform."""

    url: str
    size: int
    sha256: str | None
    """None where it says none, as for releases of before the middle of 2025."""


def parse(version: str) -> Version:
    """Read a version as ``1.83.2`` or ``v1.83.2``.

    Raises:
        InvalidConfig: it is none.
    """
    found = re.fullmatch(r"v?(\d{1,6})\.(\d{1,6})\.(\d{1,6})", version)
    if found is None:
        raise InvalidConfig(f"Cannot take release {version!r} of Dolt: give a version such as 1.83.2.")
    return int(found[1]), int(found[2]), int(found[3])


def installed() -> Path | None:
    """Return the `dolt` of the release that was fetched last, None if there is none or `forget` was called since."""
    try:
        folder = _link().readlink()
    except (OSError, ReleaseFailed):  # there is no link, or no release for this platform
        return None
    found = builder.cache_folder() / folder.name / "dolt"
    return found if found.is_file() else None


def forget() -> None:
    """Have `installed` name none; what was fetched stays."""
    with contextlib.suppress(ReleaseFailed):
        _link().unlink(missing_ok=True)


def fetch(version: Version, *, sha256: str | None = None, progress: Progress) -> Path:
    """Fetch a release unless it is here, make it the one that `installed` names, and return its `dolt`.

    The program appears whole or not at all. A fetch that fails or is interrupted leaves what was installed before.

    Args:
        version: the release.
        sha256: what the archive's digest must be; without it the one that the release's description gives.
        progress: called with one line of words for each step, and every ten seconds of a download.

    Raises:
        InvalidConfig: ``sha256`` is no SHA-256.
        ReleaseFailed: it cannot be had, is not what its digest says, or does not run here as that version.
    """
    if sha256 is not None:
        sha256 = sha256.lower().removeprefix("sha256:")
        if _DIGEST.fullmatch(sha256) is None:
            raise InvalidConfig(f"Cannot take a release of Dolt by the SHA-256 {sha256!r}: give its 64 hex digits.")
    said = ".".join(str(part) for part in version)
    try:
        folder = builder.cache_folder() / f"dolt-release-{said}-{_platform()}"
        folder.mkdir(parents=True, exist_ok=True)
        with builder.exclusive(folder / "lock", progress=progress):
            if not _is_here(folder, sha256):
                _fetch_locked(folder, said, sha256=sha256, progress=progress)
        _point_to(folder)
    except OSError as error:
        raise _failed(said, f"{error}. Give this user a cache folder it can write to, with XDG_CACHE_HOME") from error
    return folder / "dolt"


def _is_here(folder: Path, sha256: str | None) -> bool:
    try:
        return (folder / "dolt").is_file() and sha256 in (None, (folder / "archive.sha256").read_text("ascii").strip())
    except OSError:
        return False


def _point_to(folder: Path) -> None:
    """Make the link name ``folder``, in one step."""
    with tempfile.TemporaryDirectory(prefix="link-", dir=folder) as scratch:
        fresh = Path(scratch) / "link"
        fresh.symlink_to(folder.name)
        fresh.replace(_link())


def _link() -> Path:
    return builder.cache_folder() / f"dolt-release-{_platform()}"


def _platform() -> str:
    """Return this platform as Dolt's archives are named.

    Raises:
        ReleaseFailed: there is none for it.
    """
    system, machine = _SYSTEMS.get(platform.system()), _MACHINES.get(platform.machine().lower())
    if system is None or machine is None:
        raise ReleaseFailed(
            f"Cannot take a release of Dolt: there is no archive for {platform.system()} on {platform.machine()}. "
            "Build it: `python -m flytekitplugins.dolt install`."
        )
    return f"{system}-{machine}"


def _failed(version: str, found: str) -> ReleaseFailed:
    return ReleaseFailed(f"Cannot take release {version} of Dolt: {found}. Nothing was installed.")


def _fetch_locked(folder: Path, version: str, *, sha256: str | None, progress: Progress) -> None:
    for stale in folder.glob("fetch-*"):  # of one that was killed; nobody else is alive while we hold the lock
        shutil.rmtree(stale, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix="fetch-", dir=folder) as scratch:
        work = Path(scratch)
        archive = _described(version, progress=progress)
        expected = _expected(archive, version, sha256)
        found = _download(archive, work / "archive", version=version, progress=progress)
        if found != expected:
            raise _failed(version, f"the SHA-256 of {archive.url} is {found}, and should be {expected}")
        _unpack(work / "archive", work, version)
        _check(work / "dolt", version)
        (work / "archive.sha256").write_text(f"{found}\n", "ascii")
        for name in ("LICENSES", "archive.sha256", "dolt"):  # the program last: it is what says that all is there
            if (work / name).exists():
                (work / name).replace(folder / name)
    progress(f"release {version} is in {folder}")


def _described(version: str, *, progress: Progress) -> _Archive:
    """Ask for the release's description and return what it says of this platform's archive."""
    url, name = f"{PLACE}/tags/v{version}", f"dolt-{_platform()}.tar.gz"
    progress(f"asking {url}")
    with _opened(url, version) as answer:
        text = _read(answer, version)
    try:
        assets = {asset["name"]: asset for asset in json.loads(text)["assets"]}
        asset = assets[name]
        where, size, digest = str(asset["browser_download_url"]), int(asset["size"]), asset.get("digest")
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise _failed(version, f"the answer of {url} does not describe an archive {name!r}") from error
    given = re.fullmatch(r"sha256:([0-9a-f]{64})", str(digest).lower())
    return _Archive(where, size, given[1] if given is not None else None)


def _read(answer: IO[bytes], version: str) -> bytes:
    """Read a description, which is short."""
    text = answer.read(_DESCRIPTION_BYTES + 1)
    if len(text) > _DESCRIPTION_BYTES:
        raise _failed(version, f"its description has more than {_DESCRIPTION_BYTES} bytes")
    return text


def _expected(archive: _Archive, version: str, sha256: str | None) -> str:
    """Return the digest that the archive must have."""
    if archive.sha256 is None and sha256 is None:
        found = "its description gives no SHA-256 of the archive, and none was given with --sha256"
        raise _failed(version, f"{found}. Give the one that you trust")
    if sha256 is not None and archive.sha256 not in (None, sha256):
        raise _failed(version, f"its description gives the SHA-256 {archive.sha256}, and --sha256 is {sha256}")
    return sha256 or str(archive.sha256)


def _download(archive: _Archive, target: Path, *, version: str, progress: Progress) -> str:
    """Write the archive to ``target`` and return its SHA-256."""
    progress(f"downloading {archive.url}, {archive.size / 1e6:.0f} MB")
    digest, got, said = hashlib.sha256(), 0, time.monotonic()
    with _opened(archive.url, version) as answer, target.open("wb") as sink:
        while got <= archive.size and (chunk := answer.read(_CHUNK_BYTES)):
            sink.write(chunk)
            digest.update(chunk)
            got += len(chunk)
            if time.monotonic() - said >= 10:
                said = time.monotonic()
                progress(f"{got / 1e6:.0f} of {archive.size / 1e6:.0f} MB")
    if got != archive.size:
        raise _failed(version, f"the transfer of {archive.url} gave {got} bytes or more, and not {archive.size}")
    return digest.hexdigest()


class _OnlyHttps(urllib.request.HTTPRedirectHandler):
    """Follows a redirect to HTTPS, and refuses any other."""

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: Any, newurl: str
    ) -> urllib.request.Request | None:
        """Refuse what is not HTTPS."""
        if not newurl.lower().startswith("https://"):
            raise urllib.error.URLError(f"it leads to {newurl}, which is not HTTPS")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


@contextlib.contextmanager
def _opened(url: str, version: str) -> Iterator[IO[bytes]]:
    """Open an address for the block; what goes wrong in it with the transfer is `ReleaseFailed`."""
    if not url.lower().startswith("https://"):
        raise _failed(version, f"its description names {url!r}, which is not HTTPS")
    https = urllib.request.HTTPSHandler(context=ssl.create_default_context())
    opener = urllib.request.build_opener(_OnlyHttps, https)
    request = urllib.request.Request(url, headers={"User-Agent": "flytekitplugins-doltdb"})  # noqa: S310  # see above
    try:
        with opener.open(request, timeout=_TIMEOUT_S) as answer:
            yield answer
    except urllib.error.HTTPError as error:
        error.close()
        hint = ", so there is no such release" if error.code == 404 else ""
        raise _failed(version, f"{url} answers with status {error.code}{hint}") from error
    except urllib.error.URLError as error:
        raise _failed(version, f"{url} cannot be read: {error.reason}") from error
    except (http.client.HTTPException, TimeoutError, ConnectionError, ssl.SSLError) as error:
        raise _failed(version, f"the transfer of {url} was cut: {error!r}") from error


def _unpack(archive: Path, folder: Path, version: str) -> None:
    """Take the program and its licences out of the archive, and nothing else."""
    top = f"dolt-{_platform()}"
    wanted = {f"{top}/bin/dolt": "dolt", f"{top}/LICENSES": "LICENSES"}
    try:
        with tarfile.open(archive, mode="r:gz") as packed:
            for member in packed:
                name = wanted.get(member.name.removeprefix("./"))
                source = packed.extractfile(member) if name is not None and member.isfile() else None
                if name is None or source is None or member.size > _PROGRAM_BYTES:
                    continue
                with (folder / name).open("wb") as sink:
                    shutil.copyfileobj(source, sink)
    except (tarfile.TarError, EOFError, zlib.error, OSError) as error:
        raise _failed(version, f"its archive cannot be unpacked: {error}") from error
    if not (folder / "dolt").is_file():
        raise _failed(version, f"its archive has no file '{top}/bin/dolt'")
    (folder / "dolt").chmod(0o755)


def _check(program: Path, version: str) -> None:
    """Run it: it must start here, and say that it is the release that was asked for."""
    try:
        with builder.private_root() as env:
            done = subprocess.run(
                [str(program), "version"],
                env=env,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=_TIMEOUT_S,
                check=False,
            )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise _failed(version, f"its program does not run here: {error}") from error
    if f"dolt version {version}" not in done.stdout.splitlines():
        said = (done.stdout + done.stderr).strip()[:200]
        raise _failed(version, f"its program says {said!r} and not 'dolt version {version}'")

"""`install --release` against a stand-in of Dolt's releases on this machine, over HTTPS, with an authority of its own.

The stand-in gives what a release has: a description with digests, and an archive, here of a shell script that says
which version it is. What it does wrong is said in each test. The real place is never asked.
"""

from __future__ import annotations

import hashlib
import http.server
import io
import json
import os
import signal
import ssl
import subprocess
import sys
import tarfile
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from certificates import Authority
from waiting import eventually

from flytekitplugins.dolt.__main__ import main
from flytekitplugins.dolt.errors import BinaryUnsupported, InvalidConfig, ReleaseFailed
from flytekitplugins.dolt.server import binary, builder, releases

VERSION = "1.84.1"
OTHER = "1.85.0"


def packed(version: str, *, place: str | None = None, body: str | None = None) -> bytes:
    """Return an archive as Dolt's are, with a script in place of the program."""
    top = f"dolt-{releases._platform()}"
    script = body or f"#!/bin/sh\necho dolt version {version}\n"
    files = {place or f"{top}/bin/dolt": script, f"{top}/LICENSES": "licences\n", f"{top}/../../evil": "no"}
    whole = io.BytesIO()
    with tarfile.open(fileobj=whole, mode="w:gz") as archive:
        for name, text in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(text.encode())
            archive.addfile(member, io.BytesIO(text.encode()))
    return whole.getvalue()


@dataclass
class Releases:
    """The stand-in: its address, what it has, what it was asked for."""

    url: str = ""
    version: str = VERSION
    archive: bytes = b""
    served: bytes | None = None
    """What it sends in place of the archive."""
    digest: str | None = "right"
    """What its description says: `right`, another text, or nothing."""
    redirects: dict[str, str] = field(default_factory=dict)
    cut_at: int | None = None
    """After how many bytes of the archive it closes the connection."""
    stalls: threading.Event | None = None
    """What it waits for in the middle of the archive."""
    asked: list[str] = field(default_factory=list)

    def description(self) -> bytes:
        """Return what Dolt's place says of a release, in the parts that matter."""
        right = f"sha256:{hashlib.sha256(self.archive).hexdigest()}"
        asset: dict[str, object] = {
            "name": f"dolt-{releases._platform()}.tar.gz",
            "browser_download_url": f"{self.url}/archive",
            "size": len(self.archive),
        }
        if self.digest is not None:
            asset["digest"] = right if self.digest == "right" else self.digest
        return json.dumps({"tag_name": f"v{self.version}", "assets": [{"name": "install.sh"}, asset]}).encode()


def handler(place: Releases) -> type[http.server.BaseHTTPRequestHandler]:
    """Make the class that answers for a stand-in."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def log_message(self, *args: object) -> None:
            """Say nothing."""

        def do_GET(self) -> None:
            place.asked.append(self.path)
            if self.path in place.redirects:
                self.send_response(302)
                self.send_header("Location", place.redirects[self.path])
                self.end_headers()
            elif self.path == f"/releases/tags/v{place.version}":
                self.answer(place.description())
            elif self.path in ("/archive", "/stored"):
                self.answer(place.archive if place.served is None else place.served, cut_at=place.cut_at)
            else:
                self.send_error(404)

        def answer(self, body: bytes, *, cut_at: int | None = None) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body[:cut_at])
            if place.stalls is not None and self.path == "/archive":
                self.wfile.flush()
                place.stalls.wait(60)
            self.close_connection = True

    return Handler


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Releases]:
    """Serve the stand-in; who is asked for trust knows its authority, and no `dolt` is anywhere else."""
    authority = Authority(tmp_path)
    signed = authority.sign("127.0.0.1")
    place = Releases(archive=packed(VERSION))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(signed.certificate, signed.key)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler(place)) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        place.url = f"https://127.0.0.1:{server.server_port}"
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setattr(releases, "PLACE", f"{place.url}/releases")
        monkeypatch.setenv("SSL_CERT_FILE", str(authority.ca))
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
        monkeypatch.setenv("PATH", "/nonexistent")
        monkeypatch.delenv("DOLT_BIN", raising=False)
        monkeypatch.setattr(sys, "executable", str(tmp_path / "beside" / "python"))
        yield place
        server.shutdown()


def left() -> list[str]:
    """List what is in the cache folder, but for locks and what remembers versions."""
    folder = builder.cache_folder()
    paths = (path.relative_to(folder) for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
    return sorted(str(path) for path in paths if path.name not in ("lock", "versions.json"))


def folder(version: str = VERSION) -> str:
    """Return the name of a release's folder."""
    return f"dolt-release-{version}-{releases._platform()}"


def quiet(message: str) -> None:
    """Take a line of progress."""


def take(version: str = VERSION, **options: str) -> Path:
    """Install the release."""
    return binary.install_release(version, progress=quiet, **options)


def test_a_release_is_installed_by_the_digest_of_its_description(place: Releases) -> None:
    """The program, its licences and the archive's digest are in a folder of the release's own; it is what is found."""
    said: list[str] = []
    taken = binary.install_release(f"v{VERSION}", progress=said.append)
    assert binary.find() == taken == builder.cache_folder() / folder() / "dolt"
    assert left() == [f"{folder()}/{name}" for name in ("LICENSES", "archive.sha256", "dolt")]
    assert [line.split()[0] for line in said] == ["asking", "downloading", "release"]
    assert place.asked == [f"/releases/tags/v{VERSION}", "/archive"]


def test_a_release_that_is_here_is_not_fetched_again(place: Releases) -> None:
    """Without the network a second call does well, unless another digest is asked for."""
    taken = take()
    assert take() == take(sha256=hashlib.sha256(place.archive).hexdigest().upper()) == taken
    assert len(place.asked) == 2
    with pytest.raises(ReleaseFailed, match="--sha256"):
        take(sha256="0" * 64)
    assert binary.find() == taken


def test_the_last_install_is_the_one_that_is_found(place: Releases) -> None:
    """Another release, the first one again, and a build: each takes the place of the one before, which stays."""
    first = take()
    place.version, place.archive = OTHER, packed(OTHER)
    second = take(OTHER)
    assert binary.find() == second
    assert take() == first == binary.find()
    built = builder.binary_path()
    built.parent.mkdir()
    built.write_text("#!/bin/sh\necho dolt version 1.83.2\n")
    built.chmod(0o755)
    assert binary.find() == first
    assert main(["install"]) == 0
    assert binary.find() == built
    assert take(OTHER) == second == binary.find()
    assert first.is_file()


def test_the_command_says_what_it_costs_before_and_what_to_type_after(
    place: Releases, capsys: pytest.CaptureFixture[str]
) -> None:
    """Both ways stand before the first line of progress, the line for the shell alone on standard output."""
    assert main(["install", "--release", VERSION]) == 0
    said = capsys.readouterr()
    assert said.out == f'export PATH={builder.cache_folder() / folder()}:"$PATH"\n'
    before, _, _ = said.err.partition("asking https://")
    assert "Rows go by SQL" in before
    assert "million rows" in before


def test_a_setting_that_would_hide_the_release_is_named(
    place: Releases, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is fetched that would not be used."""
    monkeypatch.setenv("DOLT_BIN", "/somewhere/dolt")
    assert main(["install", "--release", VERSION]) == 1
    assert "DOLT_BIN" in capsys.readouterr().err
    assert place.asked == []


def test_one_that_comes_before_the_release_is_named(
    place: Releases, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """What lies beside Python is found first; the command says how to use the release all the same."""
    beside = tmp_path / "beside" / "dolt"
    beside.parent.mkdir()
    beside.write_text("#!/bin/sh\necho dolt version 1.83.2\n")
    beside.chmod(0o755)
    assert main(["install", "--release", VERSION]) == 0
    assert f"export DOLT_BIN={builder.cache_folder() / folder() / 'dolt'}" in capsys.readouterr().err


@pytest.mark.parametrize("version", ["2.0.0", "2.0.11", "v2.0.3", "1.82.9", "0.50.0"])
def test_what_cannot_be_used_is_not_fetched(place: Releases, version: str) -> None:
    """It is refused by its number, before anybody is asked."""
    with pytest.raises(BinaryUnsupported, match=r"2\.0\.x|older than"):
        take(version)
    assert place.asked == []
    assert not builder.cache_folder().exists()


@pytest.mark.parametrize(
    ("version", "options"),
    [("latest", {}), ("1.84", {}), ("1.84.1/../x", {}), ("", {}), (VERSION, {"sha256": "abc"})],
)
def test_what_cannot_be_read_is_refused(place: Releases, version: str, options: dict[str, str]) -> None:
    """No word of the user's becomes a part of an address unless it is a version."""
    with pytest.raises(InvalidConfig, match="Cannot take"):
        take(version, **options)
    assert place.asked == []


def test_sha256_belongs_to_a_release(capsys: pytest.CaptureFixture[str]) -> None:
    """What is built has no archive."""
    assert main(["install", "--sha256", "0" * 64]) == 1
    assert "--release" in capsys.readouterr().err


# Digests


def wrong_digest(place: Releases) -> None:
    """Describe another archive."""
    place.digest = f"sha256:{'1' * 64}"


def no_digest(place: Releases) -> None:
    """Describe none, as for old releases."""
    place.digest = None


def odd_digest(place: Releases) -> None:
    """Describe it by another kind of digest."""
    place.digest = f"md5:{'1' * 32}"


def changed_archive(place: Releases) -> None:
    """Send another archive of the same length."""
    place.served = place.archive[:-1] + bytes([place.archive[-1] ^ 1])


def longer_archive(place: Releases) -> None:
    """Send more than was announced."""
    place.served = place.archive + b"more"


def cut(place: Releases) -> None:
    """Close the connection in the middle."""
    place.cut_at = len(place.archive) // 2


def short(place: Releases) -> None:
    """Send half of it as if it were all."""
    place.served = place.archive[: len(place.archive) // 2]


def plain_redirect(place: Releases) -> None:
    """Lead to HTTP."""
    place.redirects["/archive"] = "http://127.0.0.1:1/archive"


def file_redirect(place: Releases) -> None:
    """Lead to a file."""
    place.redirects["/archive"] = "file:///etc/passwd"


def endless_redirect(place: Releases) -> None:
    """Lead in a circle."""
    place.redirects["/archive"] = f"{place.url}/archive"


def plain_archive(place: Releases) -> None:
    """Describe an archive that lies on HTTP."""
    place.url = place.url.replace("https:", "http:")


def no_release(place: Releases) -> None:
    """Know no such release."""
    place.redirects[f"/releases/tags/v{place.version}"] = f"{place.url}/nothing"


def other_description(place: Releases) -> None:
    """Answer with something else, as a network with a login page does."""
    place.redirects[f"/releases/tags/v{place.version}"] = f"{place.url}/archive"


def no_archive(place: Releases) -> None:
    """Have another file under the archive's name."""
    place.archive = b"no archive"


def no_program(place: Releases) -> None:
    """Have an archive without the program."""
    place.archive = packed(OTHER, place="elsewhere/dolt")


def other_version(place: Releases) -> None:
    """Have a program that is another release."""
    place.archive = packed("1.70.0")


def broken_program(place: Releases) -> None:
    """Have a program that does not run here."""
    place.archive = packed(OTHER, body="\x7fELF")


WRONG: list[tuple[Callable[[Releases], None], str]] = [
    (wrong_digest, f"should be {'1' * 64}"),
    (no_digest, "no SHA-256.*--sha256"),
    (odd_digest, "no SHA-256.*--sha256"),
    (changed_archive, "SHA-256 of .* should be"),
    (longer_archive, "bytes or more"),
    (cut, "bytes or more|was cut"),
    (short, "bytes or more"),
    (plain_redirect, "leads to http://.*not HTTPS"),
    (file_redirect, "status 302"),
    (endless_redirect, "status 302"),
    (plain_archive, "names 'http://.*not HTTPS"),
    (no_release, "status 404, so there is no such release"),
    (other_description, "does not describe"),
    (no_archive, "cannot be unpacked"),
    (no_program, "no file"),
    (other_version, r"says 'dolt version 1\.70\.0'"),
    (broken_program, "does not run here|program says"),
]


@pytest.mark.parametrize(("fault", "found"), WRONG, ids=lambda value: getattr(value, "__name__", ""))
def test_what_is_wrong_is_refused_and_leaves_what_was_there(place: Releases, fault: object, found: str) -> None:
    """The error says what was found; nothing is left behind, and the release that was installed before stays in use."""
    before = take()
    kept = left()
    place.version, place.archive = OTHER, packed(OTHER)
    assert callable(fault)
    fault(place)
    with pytest.raises(ReleaseFailed, match=f"(?s){OTHER}.*{found}"):
        take(OTHER)
    assert left() == kept
    assert binary.find() == before


def test_a_digest_that_is_given_stands_in_for_a_missing_one(place: Releases) -> None:
    """Releases of before Dolt's place had digests can be had by one that the user trusts."""
    place.digest = None
    assert take(sha256=f"sha256:{hashlib.sha256(place.archive).hexdigest()}") == binary.find()


def test_a_digest_that_is_given_must_be_the_descriptions_and_the_archives(place: Releases) -> None:
    """Where both say something they must agree, which is seen before the archive is fetched."""
    with pytest.raises(ReleaseFailed, match="--sha256"):
        take(sha256="2" * 64)
    assert "/archive" not in place.asked
    place.digest = None
    with pytest.raises(ReleaseFailed, match=f"should be {'2' * 64}"):
        take(sha256="2" * 64)


def test_a_redirect_to_https_is_followed(place: Releases) -> None:
    """Dolt's place leads to where its archives lie."""
    place.redirects["/archive"] = f"{place.url}/stored"
    assert take() == binary.find()
    assert place.asked[-2:] == ["/archive", "/stored"]


def test_a_server_that_nobody_vouches_for_is_refused(place: Releases, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without its authority the stand-in is a stranger."""
    monkeypatch.delenv("SSL_CERT_FILE")
    with pytest.raises(ReleaseFailed, match="certificate verify failed"):
        take()


def test_a_place_that_cannot_be_reached_is_named(place: Releases, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a machine without the internet."""
    monkeypatch.setattr(releases, "PLACE", "https://127.0.0.1:1/releases")
    with pytest.raises(ReleaseFailed, match=r"https://127\.0\.0\.1:1/.*refused"):
        take()


def test_an_interrupted_fetch_leaves_nothing(place: Releases, tmp_path: Path) -> None:
    """Who ends it in the middle of the archive finds the cache folder as it was."""
    place.stalls, place.cut_at = threading.Event(), 10
    code = (
        "import sys; from flytekitplugins.dolt.server import releases; from flytekitplugins.dolt.__main__ import main\n"
        "releases.PLACE = sys.argv[1]; sys.exit(main(['install', '--release', sys.argv[2]]))"
    )
    argv = [str(Path(sys.prefix) / "bin" / "python"), "-W", "ignore", "-c", code, releases.PLACE, VERSION]
    process = subprocess.Popen(argv, env=dict(os.environ), stderr=subprocess.PIPE, text=True)
    try:
        assert eventually(lambda: "/archive" in place.asked, within_s=60)
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=60)
    finally:
        process.kill()
        place.stalls.set()
    assert process.returncode == 130
    assert "Interrupted." in said
    assert left() == []

"""Finding, checking and running `dolt`, and making repositories. A shell script stands in for a wrong `dolt` only."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import dolt_program
import pytest

from flytekitplugins.dolt.errors import (
    BinaryNotFound,
    BinaryUnsupported,
    CommandFailed,
    InvalidConfig,
    RepositoryReadOnly,
)
from flytekitplugins.dolt.server import binary


def script(path: Path, body: str) -> Path:
    """Write an executable shell script."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)
    return path


def saying(path: Path, version: str) -> Path:
    """Write a program that claims to be that version of `dolt`."""
    return script(path, f"echo dolt version {version}")


@pytest.fixture(scope="module")
def real() -> Path:
    """Give the real `dolt`."""
    return binary.find()


@pytest.fixture
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make every place that `find` looks at a folder of the test's own, all empty, and give their parent."""
    for name in ("beside", "path", "cache"):
        (tmp_path / name).mkdir()
    monkeypatch.delenv("DOLT_BIN", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path / "path"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(sys, "executable", str(tmp_path / "beside" / "python"))
    if "doltcli.utils" in sys.modules:
        monkeypatch.setattr(sys.modules["doltcli.utils"], "DOLT_PATH", "dolt")
    return tmp_path


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give the test an empty home of its own."""
    path = tmp_path / "home"
    path.mkdir()
    monkeypatch.setenv("HOME", str(path))
    monkeypatch.delenv("DOLT_ROOT_PATH", raising=False)
    return path


def configure(root: Path, **values: str) -> Path:
    """Write Dolt's global configuration into a home, ``user_name`` for ``user.name``."""
    file = root / ".dolt" / "config_global.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps({key.replace("_", "."): value for key, value in values.items()}))
    return file


# Finding


def test_the_places_are_tried_in_the_documented_order(nowhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each place wins over all that come after it, and loses to all before."""
    cached = saying(binary.builder.binary_path(), "1.83.2")
    assert binary.find() == cached
    on_path = saying(nowhere / "path" / "dolt", "1.83.2")
    assert binary.find() == on_path
    beside = saying(nowhere / "beside" / "dolt", "1.83.2")
    assert binary.find() == beside
    import doltcli.utils

    of_doltcli = saying(nowhere / "doltcli" / "dolt", "1.83.2")
    monkeypatch.setattr(doltcli.utils, "DOLT_PATH", str(of_doltcli))
    assert binary.find() == of_doltcli
    chosen = saying(nowhere / "chosen" / "my-dolt", "1.83.2")
    monkeypatch.setenv("DOLT_BIN", str(chosen))
    assert binary.find() == chosen


@pytest.mark.parametrize("version", ["1.83.0", "1.83.2", "1.88.10", "2.1.0", "2.3.1", "3.0.0"])
def test_a_release_that_fits_is_found(nowhere: Path, version: str) -> None:
    """From 1.83 on every release but 2.0.x is accepted."""
    there = saying(nowhere / "path" / "dolt", version)
    assert binary.find() == there
    assert ".".join(map(str, binary.version(there))) == version


@pytest.mark.parametrize(
    ("version", "reason"),
    [("0.40.5", "older than 1.83"), ("1.82.9", "older than 1.83"), ("2.0.0", "2.0.x"), ("2.0.11", "2.0.x")],
)
def test_a_release_that_does_not_fit_is_refused_with_its_reason(nowhere: Path, version: str, reason: str) -> None:
    """The error names the file, its version and why that version will not do, as words and as facts."""
    there = saying(nowhere / "path" / "dolt", version)
    with pytest.raises(BinaryUnsupported, match=re.escape(version)) as caught:
        binary.find()
    assert reason in str(caught.value)
    assert str(there) in str(caught.value)
    assert vars(caught.value)["path"] == there
    assert vars(caught.value)["version"] == tuple(map(int, version.split(".")))


def test_unfit_binaries_are_passed_over_for_a_fit_one(nowhere: Path) -> None:
    """A stale `dolt` that nobody chose does not hide a good one that comes later."""
    saying(nowhere / "beside" / "dolt", "1.50.0")
    (nowhere / "path" / "dolt").write_bytes(b"\x7fELF no program")
    (nowhere / "path" / "dolt").chmod(0o755)
    cached = saying(binary.builder.binary_path(), "1.83.2")
    assert binary.find() == cached


def test_all_unfit_binaries_are_named_when_none_fits(nowhere: Path) -> None:
    """Whoever reads the error sees every file that was looked at."""
    one = saying(nowhere / "beside" / "dolt", "1.50.0")
    other = script(nowhere / "path" / "dolt", "echo something else; exit 3")
    with pytest.raises(BinaryUnsupported, match=r"1\.83") as caught:
        binary.find()
    assert str(one) in str(caught.value)
    assert str(other) in str(caught.value)
    assert "something else" in str(caught.value)


@pytest.mark.usefixtures("nowhere")
def test_no_binary_at_all_tells_every_way_to_get_one() -> None:
    """The error is also a FileNotFoundError, and names four ways."""
    with pytest.raises(BinaryNotFound, match="PATH") as caught:
        binary.find()
    assert isinstance(caught.value, FileNotFoundError)
    for way in ("python -m flytekitplugins.dolt install", "install.sh | sudo bash", "brew install dolt", "DOLT_BIN"):
        assert way in str(caught.value)


@pytest.mark.parametrize("setting", ["/nonexistent/dolt", "no-such-word", "~nobody-of-that-name/dolt"])
def test_a_missing_dolt_bin_is_an_error_and_no_fallback(
    nowhere: Path, monkeypatch: pytest.MonkeyPatch, setting: str
) -> None:
    """What the user set is used or refused, even if a good one is on PATH."""
    saying(nowhere / "path" / "dolt", "1.83.2")
    monkeypatch.setenv("DOLT_BIN", setting)
    with pytest.raises(BinaryNotFound, match=f"DOLT_BIN.*'{re.escape(setting)}'"):
        binary.find()


def test_an_unfit_dolt_bin_is_an_error_that_names_the_setting(nowhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An explicit choice that is too old is not silently replaced."""
    saying(nowhere / "path" / "dolt", "1.83.2")
    monkeypatch.setenv("DOLT_BIN", str(saying(nowhere / "old" / "dolt", "1.50.0")))
    with pytest.raises(BinaryUnsupported, match=r"DOLT_BIN.*1\.50\.0"):
        binary.find()


def test_a_folder_as_dolt_bin_is_refused(nowhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The folder that holds the binary is not the binary."""
    monkeypatch.setenv("DOLT_BIN", str(nowhere))
    with pytest.raises(BinaryUnsupported, match="run"):
        binary.find()


def test_dolt_bin_may_be_a_bare_word_or_start_in_the_home(
    nowhere: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A word without a slash is looked up on PATH, ``~`` is the home."""
    other = saying(nowhere / "path" / "other-dolt", "1.83.2")
    monkeypatch.setenv("DOLT_BIN", "other-dolt")
    assert binary.find() == other
    mine = saying(home / "dolt", "1.83.2")
    monkeypatch.setenv("DOLT_BIN", "~/dolt")
    assert binary.find() == mine


def test_a_wrong_path_given_to_doltcli_is_an_error_that_names_it(
    nowhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever told doltcli a path meant it here too."""
    import doltcli.utils

    saying(nowhere / "path" / "dolt", "1.83.2")
    monkeypatch.setattr(doltcli.utils, "DOLT_PATH", "/nonexistent/dolt")
    with pytest.raises(BinaryNotFound, match=r"doltcli\.utils\.DOLT_PATH"):
        binary.find()


def test_finding_imports_nothing_heavy() -> None:
    """Neither importing the module nor finding a binary loads pandas, doltcli, a driver or Flyte."""
    code = (
        "import sys\n"
        "from flytekitplugins.dolt.server import binary\n"
        "binary.find()\n"
        "print([m for m in ('pandas', 'doltcli', 'pymysql', 'flytekit', 'pyarrow') if m in sys.modules])\n"
    )
    argv = [sys.executable, "-c", code]
    assert subprocess.run(argv, capture_output=True, text=True, check=True).stdout.strip() == "[]"


# Versions


def test_the_version_is_asked_once_and_again_when_the_file_changes(nowhere: Path) -> None:
    """An unchanged binary is started one time only; a replaced one is not taken for the old one."""
    calls = nowhere / "calls"
    path = script(nowhere / "path" / "dolt", f"echo x >> '{calls}'; echo dolt version 1.83.2")
    assert [binary.version(path) for _ in range(3)] == [(1, 83, 2)] * 3
    assert calls.read_text() == "x\n"
    saying(path, "1.90.0")
    assert binary.version(path) == (1, 90, 0)


@pytest.mark.parametrize("content", ["", "{", "[]", '{"x": 1}', "null", "\x00"])
def test_a_broken_memory_of_versions_is_ignored_and_mended(nowhere: Path, content: str) -> None:
    """The remembered versions only save time."""
    path = saying(nowhere / "path" / "dolt", "1.83.2")
    memory = binary.builder.cache_folder() / "versions.json"
    memory.parent.mkdir(parents=True)
    memory.write_text(content)
    assert binary.version(path) == (1, 83, 2)
    assert str(path) in json.loads(memory.read_text())


def test_a_memory_of_this_binary_that_makes_no_sense_is_ignored(nowhere: Path) -> None:
    """A right stamp with a wrong entry is asked again."""
    path = saying(nowhere / "path" / "dolt", "1.83.2")
    binary.version(path)
    memory = binary.builder.cache_folder() / "versions.json"
    memory.write_text(memory.read_text().replace("[1, 83, 2]", '["one"]'))
    assert binary.version(path) == (1, 83, 2)


def test_a_cache_folder_that_cannot_be_made_does_no_harm(nowhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nothing can be remembered or cached, `find` works all the same."""
    there = saying(nowhere / "path" / "dolt", "1.83.2")
    monkeypatch.setenv("XDG_CACHE_HOME", str(there))
    assert binary.find() == there


def test_many_at_once_leave_a_whole_memory(nowhere: Path) -> None:
    """Threads that ask at the same time never leave half a file, and it does not grow without end."""
    paths = [saying(nowhere / f"d{n}" / "dolt", "1.83.2") for n in range(30)]
    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(binary.version, paths)) == {(1, 83, 2)}
    memory = binary.builder.cache_folder()
    assert [file.name for file in memory.iterdir()] == ["versions.json"]
    assert 0 < len(json.loads((memory / "versions.json").read_text())) <= 20


def test_asking_the_version_leaves_the_home_alone(nowhere: Path, home: Path, real: Path) -> None:
    """The real `dolt` writes no file into the user's home and looks for no newer release when it is asked."""
    assert binary.version(real) >= (1, 83, 0)
    assert list(home.iterdir()) == []
    assert (nowhere / "cache").is_dir()


def test_nothing_stays_in_the_temporary_folder(nowhere: Path, real: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What `dolt` itself leaves behind is cleared away after asking its version and making a repository."""
    temporary = nowhere / "temporary"
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    monkeypatch.setenv("TMPDIR", str(temporary))
    monkeypatch.setenv("DOLT_BIN", str(real))
    binary.create_repository(nowhere / "r")
    assert list(temporary.iterdir()) == []


@pytest.mark.usefixtures("nowhere")
@pytest.mark.parametrize("body", ["exit 1", "echo git version 2.47", "echo dolt version 1.83.2; exit 1", "echo"])
def test_a_program_that_is_not_dolt_is_refused(tmp_path: Path, body: str) -> None:
    """Only the answer that `dolt` gives, with status 0, counts."""
    with pytest.raises(BinaryUnsupported, match="`version`"):
        binary.version(script(tmp_path / "x" / "dolt", body))


# Running


def test_run_returns_standard_output(repo: Path) -> None:
    """A call in a repository gives what Dolt prints, and only that."""
    assert binary.run(["branch"], cwd=repo).strip() == "* main"


def test_run_sees_the_users_own_configuration(home: Path) -> None:
    """The command line works as the user's own terminal would, global configuration included."""
    configure(home, user_name="Diane")
    assert binary.run(["config", "--global", "--get", "user.name"]).strip() == "Diane"


def test_a_failed_command_tells_what_was_tried_and_said(repo: Path) -> None:
    """Message and facts are enough to repeat the call by hand."""
    with pytest.raises(CommandFailed, match="`dolt checkout nope`.*status 1") as caught:
        binary.run(["checkout", "nope"], cwd=repo)
    facts = vars(caught.value)
    assert facts["argv"][1:] == ["checkout", "nope"]
    assert facts["returncode"] == 1
    assert "nope" in facts["stderr"]
    assert str(repo) in str(caught.value)


def test_a_command_that_takes_too_long_is_stopped(nowhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It ends when its time is over, and the error says how long that was."""
    slow = script(nowhere / "slow", '[ "$1" = version ] && echo dolt version 1.83.2 || exec /bin/sleep 60')
    monkeypatch.setenv("DOLT_BIN", str(slow))
    begin = time.monotonic()
    with pytest.raises(CommandFailed, match=r"0\.3 s") as caught:
        binary.run(["log"], timeout_s=0.3)
    assert time.monotonic() - begin < 10
    assert vars(caught.value)["returncode"] is None


def test_a_command_gets_no_standard_input(nowhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A question for the user finds the end of input at once, instead of hanging a task."""
    asking = script(nowhere / "asking", '[ "$1" = version ] && echo dolt version 1.83.2 || /bin/cat')
    monkeypatch.setenv("DOLT_BIN", str(asking))
    assert binary.run(["sql"], timeout_s=20) == ""


def test_a_missing_folder_is_a_command_that_failed(tmp_path: Path) -> None:
    """The error names the folder instead of a traceback out of subprocess."""
    with pytest.raises(CommandFailed, match="No such file or directory"):
        binary.run(["log"], cwd=tmp_path / "nope")


# Repositories


def test_a_new_repository_has_one_commit_by_the_given_person_on_main(tmp_path: Path, home: Path) -> None:
    """Missing folders are made, the identity is the repository's own, and the home stays empty."""
    path = binary.create_repository(tmp_path / "a" / "b", name="Diane Nguyen", email="diane@example.com")
    assert list(home.iterdir()) == []
    assert path == tmp_path / "a" / "b"
    assert binary.is_repository(path)
    assert binary.identity(path) == "Diane Nguyen <diane@example.com>"
    assert os.listdir(path) == [".dolt"]
    assert binary.run(["branch"], cwd=path).strip() == "* main"
    assert "Diane Nguyen <diane@example.com>" in binary.run(["log", "-n", "1"], cwd=path)


def test_the_users_own_identity_and_branch_name_are_used(tmp_path: Path, home: Path) -> None:
    """Dolt's global configuration counts, is not copied into the repository, and is not written."""
    file = configure(home, user_name="Todd", user_email="todd@example.com", init_defaultbranch="trunk")
    before = file.read_bytes()
    path = binary.create_repository(tmp_path / "r")
    assert binary.run(["branch"], cwd=path).strip() == "* trunk"
    assert "Todd <todd@example.com>" in binary.run(["log", "-n", "1"], cwd=path)
    local = path / ".dolt" / "config.json"
    assert not local.exists() or "Todd" not in local.read_text()
    assert file.read_bytes() == before


@pytest.mark.parametrize(
    ("configured", "expected"),
    [
        ({}, "Flyte <flyte@localhost>"),
        ({"user_name": "Todd"}, "Todd <flyte@localhost>"),
        ({"user_email": "t@x"}, "Flyte <t@x>"),
    ],
)
def test_what_the_configuration_lacks_is_filled_in(
    tmp_path: Path, home: Path, configured: dict[str, str], expected: str
) -> None:
    """A repository can always be made, and always has somebody who commits."""
    configure(home, **configured)
    path = binary.create_repository(tmp_path / "r")
    assert binary.identity(path) == expected
    assert expected in binary.run(["log", "-n", "1"], cwd=path)


def test_no_home_is_needed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A container whose user has no home folder can make a repository."""
    monkeypatch.setenv("HOME", str(tmp_path / "not-there"))
    path = binary.create_repository(tmp_path / "r")
    assert binary.identity(path) == "Flyte <flyte@localhost>"
    assert not (tmp_path / "not-there").exists()


def late(path: Path, real: Path, *, times: int) -> Path:
    """Write a `dolt` that misses the lock of the first repositories that it makes, in Dolt's words; then the real."""
    said = "cannot update manifest: database is read only"
    left = path.with_name("left")
    left.parent.mkdir(parents=True)
    left.write_text("x" * times)
    return script(
        path,
        f'case $1 in init|clone)\n  if [ -s "{left}" ]; then truncate -s -1 "{left}"; mkdir -p foo .dolt/noms; '
        f'echo "{said}" >&2; exit 1; fi\nesac\nexec "{real}" "$@"',
    )


def made(path: Path, url: str) -> Path:
    return binary.create_repository(path)


def cloned(path: Path, url: str) -> Path:
    path.mkdir()
    binary.make(["clone", url, "foo"], folder=path, timeout_s=60, env={})
    return path / "foo"


@pytest.mark.parametrize("how", [made, cloned])
def test_a_repository_whose_lock_dolt_missed_is_made_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, real: Path, how: Callable[[Path, str], Path]
) -> None:
    """Where the processor had others to do while Dolt waited 100 ms for a lock that nobody had."""
    first = binary.create_repository(tmp_path / "first")
    url = f"file://{tmp_path / 'remote'}"
    dolt_program.run("remote", "add", "origin", url, cwd=first)
    assert dolt_program.run("push", "origin", "main", cwd=first).returncode == 0
    monkeypatch.setenv("DOLT_BIN", str(late(tmp_path / "late" / "dolt", real, times=2)))
    repository = how(tmp_path / "made", url)
    monkeypatch.setenv("DOLT_BIN", str(real))
    assert "Initialize data repository" in binary.run(["log"], cwd=repository)


def test_a_lock_that_is_missed_each_time_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, real: Path) -> None:
    """It is not tried for ever, and nothing is left in the folder."""
    monkeypatch.setenv("DOLT_BIN", str(late(tmp_path / "late" / "dolt", real, times=9)))
    with pytest.raises(CommandFailed, match="database is read only"):
        binary.create_repository(tmp_path / "r")
    assert (tmp_path / "late" / "left").read_text() == "xxxx"
    assert list((tmp_path / "r").iterdir()) == []


def test_a_repository_that_is_there_is_returned_unchanged(repo: Path) -> None:
    """A second call writes nothing, whatever identity it brings."""
    before = {file: file.read_bytes() for file in repo.rglob("*") if file.is_file()}
    assert binary.create_repository(repo, name="Other", email="other@example.com") == repo
    assert {file: file.read_bytes() for file in repo.rglob("*") if file.is_file()} == before


def test_other_files_in_the_folder_stay(tmp_path: Path) -> None:
    """A folder with a project in it can become a repository, as with `dolt init`."""
    (tmp_path / "notes.txt").write_text("keep")
    binary.create_repository(tmp_path)
    assert sorted(os.listdir(tmp_path)) == [".dolt", "notes.txt"]


def test_a_relative_path_and_a_nested_repository_are_possible(repo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Relative means to the current folder; a folder inside a repository, but not in its .dolt, is free."""
    monkeypatch.chdir(repo)
    path = binary.create_repository("inner")
    assert path == repo / "inner"
    assert binary.is_repository("inner")


@pytest.mark.parametrize("place", ["file", "file/below"])
def test_a_file_in_the_way_is_refused(tmp_path: Path, place: str) -> None:
    """Neither a file nor something below one can become a repository; the file stays."""
    (tmp_path / "file").write_text("mine")
    with pytest.raises(InvalidConfig, match="file"):
        binary.create_repository(tmp_path / place)
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.parametrize("place", [".dolt", ".dolt/noms", ".dolt/new/er"])
def test_the_inside_of_a_dolt_folder_is_refused(repo: Path, place: str) -> None:
    """Dolt's own folder is no place for another repository, not even through a link."""
    (repo.parent / "link").symlink_to(repo / ".dolt")
    for path in (repo / place, repo.parent / "link" / "x"):
        with pytest.raises(InvalidConfig, match=r"'\.dolt'"):
            binary.create_repository(path)
    assert not (repo / ".dolt" / "new").exists()


@pytest.mark.parametrize(
    ("name", "email"),
    [("A", None), (None, "a@b"), ("", "a@b"), ("A", " "), ("A\nB", "a@b"), ("A <x>", "a@b"), ("A", "<a@b>")],
)
def test_half_or_broken_identities_are_refused(tmp_path: Path, name: str | None, email: str | None) -> None:
    """Name and email come together, and form one line ``Name <email>``."""
    with pytest.raises(InvalidConfig, match="name.*email"):
        binary.create_repository(tmp_path / "r", name=name, email=email)
    assert not (tmp_path / "r").exists()


@pytest.mark.parametrize(("name", "email"), [("-b", "--name"), ("O'Brien; $(id)", 'a"@b'), ("Zoë  Ω", "z@x")])
def test_an_identity_is_never_taken_for_an_option(tmp_path: Path, name: str, email: str) -> None:
    """Dashes, quotes and other scripts arrive as they are."""
    path = binary.create_repository(tmp_path / "r", name=name, email=email)
    assert binary.run(["branch"], cwd=path).strip() == "* main"
    assert f"{name} <{email}>" in binary.run(["log", "-n", "1"], cwd=path)


def test_half_a_dolt_folder_is_refused_and_kept(tmp_path: Path) -> None:
    """What is left of a broken repository is for the user to judge."""
    (tmp_path / ".dolt" / "noms").mkdir(parents=True)
    with pytest.raises(InvalidConfig, match=r"'\.dolt'"):
        binary.create_repository(tmp_path)
    assert os.listdir(tmp_path) == [".dolt"]


def test_a_folder_that_may_not_be_written_is_refused(tmp_path: Path) -> None:
    """The error is also a PermissionError and names the folder."""
    tmp_path.chmod(0o500)
    place = tmp_path / "r" if os.geteuid() != 0 else Path("/sys/r")  # where not even root may make a folder
    if os.geteuid() == 0 and not Path("/sys/kernel").is_dir():
        pytest.skip("root may write everywhere on this system")
    with pytest.raises(RepositoryReadOnly, match=f"'{place}'") as caught:
        binary.create_repository(place)
    assert isinstance(caught.value, PermissionError)
    assert vars(caught.value)["path"] == place


def test_processes_that_make_one_repository_at_once_agree(tmp_path: Path) -> None:
    """All of them succeed, there is one repository, whole, and nothing else in the folder."""
    code = "import sys; from flytekitplugins.dolt.server import binary; print(binary.create_repository(sys.argv[1]))"
    argv = [sys.executable, "-W", "ignore", "-c", code, str(tmp_path / "r")]
    started = [subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(4)]
    ended = [(process.communicate(timeout=120), process.returncode) for process in started]
    assert [(code, out.strip()) for (out, _), code in ended] == [(0, str(tmp_path / "r"))] * 4
    assert os.listdir(tmp_path / "r") == [".dolt"]
    assert "No problems found" in binary.run(["fsck", "--quiet"], cwd=tmp_path / "r")


@pytest.mark.parametrize(
    ("own", "users", "expected"),
    [
        ({"user.name": "A", "user.email": "a@x"}, {"user.name": "B", "user.email": "b@x"}, "A <a@x>"),
        ({"user.name": "A"}, {"user.name": "B", "user.email": "b@x"}, "A <b@x>"),
        ({"user.name": ""}, {"user.name": "B", "user.email": "b@x"}, "B <b@x>"),
        ({}, {"user.name": "B", "user.email": "b@x"}, "B <b@x>"),
        ({"user.name": "A"}, {}, None),
        ({}, {}, None),
        ({"user.name": "A\n<B>", "user.email": "<a@x>\r"}, {}, "A B <a@x>"),
        ({"user.name": "<>", "user.email": "a@x"}, {}, None),
        ({"user.name": 7, "user.email": "a@x"}, {}, None),
    ],
)
def test_the_identity_falls_back_key_by_key(
    tmp_path: Path, home: Path, own: dict[str, object], users: dict[str, object], expected: str | None
) -> None:
    """Each part is the repository's, else the user's; what would break the form is left out."""
    for file, values in ((tmp_path / ".dolt" / "config.json", own), (home / ".dolt" / "config_global.json", users)):
        file.parent.mkdir()
        file.write_text(json.dumps(values))
    assert binary.identity(tmp_path) == expected


def test_the_identity_is_looked_up_where_dolt_looks(
    tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``DOLT_ROOT_PATH`` comes before the home; a broken file says nothing."""
    configure(home, user_name="Home", user_email="h@x")
    configure(tmp_path / "root", user_name="Root", user_email="r@x")
    assert binary.identity(tmp_path) == "Home <h@x>"
    monkeypatch.setenv("DOLT_ROOT_PATH", str(tmp_path / "root"))
    assert binary.identity(tmp_path) == "Root <r@x>"
    (tmp_path / "root" / ".dolt" / "config_global.json").write_text("{")
    assert binary.identity(tmp_path) is None


def test_only_the_folder_itself_is_a_repository(repo: Path) -> None:
    """A folder below a repository, and an empty ``.dolt``, are none."""
    assert binary.is_repository(repo)
    assert not binary.is_repository(repo / ".dolt")
    (repo / "below" / ".dolt").mkdir(parents=True)
    assert not binary.is_repository(repo / "below")
    assert not binary.is_repository(repo / "nope")

"""What a commit's message or a repository's own settings merely name is not acted on; what the user names is."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pandas as pd
import pytest
from letting_go import let_go

from flytekitplugins.dolt import DoltConfig, DoltTable, create_repository, read, write
from flytekitplugins.dolt.__main__ import main
from flytekitplugins.dolt.api.table import store
from flytekitplugins.dolt.errors import RepositoryNotFound
from flytekitplugins.dolt.history import lineages
from flytekitplugins.dolt.history.lineages import Lineage, lineage
from flytekitplugins.dolt.model.provenance import Provenance, ReadRecord, WriteRecord, compose
from flytekitplugins.dolt.repository import connections, refs
from flytekitplugins.dolt.server import binary, local_server

Config = Callable[..., DoltConfig]
Dolt = Callable[..., str]

pytestmark = pytest.mark.timeout(120)


@pytest.fixture
def other(tmp_path: Path) -> Iterator[Path]:
    """Give a second repository, with a table."""
    path = create_repository(tmp_path / "bar", name="a", email="b@c")
    write(DoltConfig(str(path), "secrets"), pd.DataFrame({"a": [1]}))
    let_go(path)
    yield path
    local_server.release(path)


def naming(config: DoltConfig, *reads: ReadRecord) -> str:
    """Commit a table whose message names what was read, as anybody can write it; return the commit's hash."""
    message = compose("by hand", Provenance(writes=(WriteRecord(str(config.tablename)),), reads=reads))
    table = store(DoltTable(config, pd.DataFrame({"a": [len(reads)]})), message=message)
    assert table.commit is not None
    return table.commit.hash


def head(path: Path) -> str:
    found = refs.resolve(path, None).hash
    let_go(path)  # its server takes its own files away when it ends
    return found


def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the list of the repositories that are opened from now on."""
    found: list[str] = []
    real = refs.locate

    def noted(db_path: str | os.PathLike[str], **options: object) -> object:
        found.append(str(db_path))
        return real(db_path, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(refs, "locate", noted)
    return found


def gaps(found: Lineage) -> list[tuple[str, str]]:
    return [(gap.read.repository, gap.why) for gap in found.gaps]


# --------------------------------------------------------------------------------------- what a commit's message names


@pytest.mark.parametrize("direction", ["up", "both"])
def test_a_folder_that_only_a_commit_names_is_not_opened(
    config: Config, repo: Path, other: Path, monkeypatch: pytest.MonkeyPatch, direction: lineages.Direction
) -> None:
    """No file is touched there and no server started; the gap says how to follow it."""
    made = naming(config("t"), ReadRecord(head(other), str(other), table="secrets"))
    before = sorted((str(path), path.stat().st_mtime_ns) for path in other.rglob("*"))
    asked = opened(monkeypatch)
    found = lineage(made, db_path=repo, direction=direction)
    assert asked == [str(repo)]
    assert local_server.running(other) is None
    assert sorted((str(path), path.stat().st_mtime_ns) for path in other.rglob("*")) == before
    assert gaps(found) == [(str(other), "repository")]
    assert "repositories=[...]" in str(found)
    assert found.sources == ()


def test_a_folder_of_files_that_hang_is_not_touched(config: Config, repo: Path, tmp_path: Path) -> None:
    """A commit may name FIFOs, devices and endless paths: the answer comes, with a gap for each."""
    trap = tmp_path / "trap"
    (trap / ".dolt" / "noms").mkdir(parents=True)
    (trap / ".dolt" / "noms" / "manifest").write_text("5:x")
    os.mkfifo(trap / ".dolt" / "sql-server.info")
    places = [str(trap), "/dev/zero", "~root", "/" + "a" * 900, "file:///etc", "https://host/a/b", "mysql://host/db"]
    made = naming(config("t"), *(ReadRecord("0" * 32, place, table="x") for place in places))
    assert sorted(gaps(lineage(made, db_path=repo))) == sorted((place, "repository") for place in places)


def test_a_folder_that_the_user_names_is_followed(config: Config, repo: Path, other: Path) -> None:
    """By its path, through a link, or by a config of a table there; one that is not there is an error."""
    made, source = naming(config("t"), ReadRecord(head(other), str(other), table="secrets")), head(other)
    link = other.with_name("link")
    link.symlink_to(other)
    for named in (other, str(link), DoltConfig(str(other), "secrets")):
        found = lineage(made, db_path=repo, repositories=[named])
        assert ([step.commit.hash for step in found.sources], found.gaps) == ([source], ())
    with pytest.raises(RepositoryNotFound, match="missing"):
        lineage(made, db_path=repo, repositories=[other / "missing"])


def test_the_command_line_follows_what_it_is_given(
    config: Config, repo: Path, other: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without `--repository` there is a gap, with it the source; `--also` is its earlier name."""
    made = naming(config("t"), ReadRecord(head(other), str(other), table="secrets"))

    def said(*arguments: str) -> dict[str, list[object]]:
        assert main(["lineage", made, "--db", str(repo), "--json", *arguments]) == 0
        plain: dict[str, list[object]] = json.loads(capsys.readouterr().out)
        return plain

    assert [len(said()[part]) for part in ("above", "gaps")] == [0, 1]
    for option in ("--repository", "--also"):
        assert [len(said(option, str(other))[part]) for part in ("above", "gaps")] == [1, 0]


# ----------------------------------------------------------------------------------- what a repository's settings name


def persist(repo: Path, **settings: str) -> None:
    """Put settings for servers into the repository's own configuration, as a copied folder brings them."""
    file = repo / ".dolt" / "config.json"
    named = {f"sqlserver.global.{name}": value for name, value in settings.items()}
    file.write_text(json.dumps({**json.loads(file.read_text()), **named}))


def test_commits_are_not_copied_to_where_a_repository_says(
    config: Config, repo: Path, dolt: Dolt, tmp_path: Path
) -> None:
    """A setting that has each commit pushed to a remote of the repository's own is not obeyed."""
    elsewhere = tmp_path / "elsewhere"
    dolt("remote", "add", "origin", f"file://{elsewhere}")
    persist(repo, dolt_replicate_to_remote="origin")
    write(config("t"), pd.DataFrame({"a": [1]}))
    local_server.release(repo)
    assert not [path for path in elsewhere.rglob("*") if path.name == "manifest"]


def test_nobody_is_asked_whom_a_repository_names(config: Config, repo: Path, dolt: Dolt) -> None:
    """A setting that makes a server the replica of a remote sends nothing there."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        dolt("remote", "add", "origin", f"http://127.0.0.1:{listener.getsockname()[1]}/a/b")
        persist(repo, dolt_read_replica_remote="origin", dolt_replicate_heads="main", dolt_skip_replication_errors="1")
        write(config("t"), pd.DataFrame({"a": [1]}))
        assert read(config("t"))["a"].tolist() == [1]
        listener.settimeout(0.2)
        with pytest.raises(TimeoutError, match="timed out"):
            listener.accept()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("sql_mode", "ANSI_QUOTES,NO_BACKSLASH_ESCAPES"),
        ("foreign_key_checks", "0"),
        ("dolt_override_schema", "HEAD"),
        ("secure_file_priv", "/"),
        ("local_infile", "1"),
        ("collation_server", "latin1_bin"),
        ("max_allowed_packet", "1024"),
        ("dolt_force_transaction_commit", "1"),
    ],
)
def test_a_repositorys_settings_for_servers_are_not_obeyed(repo: Path, name: str, value: str) -> None:
    """What statements mean, and what files the server may read, is not up to the repository."""

    def now() -> str:
        with connections.connect(repo) as connection:
            ((found,),) = connection.query(f"SELECT @@GLOBAL.{name}")
        local_server.release(repo)
        # The folder is another one each time.
        return str(found).replace(str(Path(str(found)).parent), "") if name == "secure_file_priv" else str(found)

    clean = now()
    persist(repo, **{name: value})
    assert now() == clean
    assert binary.is_repository(repo)


def test_who_commits_is_one_line(repo: Path) -> None:
    """A name with line ends and brackets in a repository's configuration does not become lines of a commit."""
    file = repo / ".dolt" / "config.json"
    file.write_text(json.dumps({"user.name": "a\nFlyte-Read: x <b>\x1b[2J", "user.email": "c@d>\r\n <e"}))
    assert binary.identity(repo) == "a Flyte-Read: x b [2J <c@d e>"
    write(DoltConfig(str(repo), "t"), pd.DataFrame({"a": [1]}))
    assert refs.log(repo, limit=1)[0].author == "a Flyte-Read: x b [2J <c@d e>"


@pytest.mark.parametrize("text", ["[" * 200_000, "[]", "null", '{"user.name": 1}', "\xff", ""])
def test_a_configuration_that_makes_no_sense_says_nothing(repo: Path, text: str) -> None:
    """Nested for ever, of other types, or no JSON: the user's own configuration counts."""
    (repo / ".dolt" / "config.json").write_text(text, "latin-1")
    assert binary.identity(repo) == binary.identity(None)

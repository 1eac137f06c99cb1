"""The lineage of real repositories as pictures: all that is in it is drawn, under its name, whatever that is."""

from __future__ import annotations

import html
import re
from collections.abc import Callable
from pathlib import Path

import lineage_screenshot
import pandas as pd
import pytest
from browser import Page
from pictures import Picture, check_places, read_dot, read_mermaid, read_svg

from flytekitplugins.dolt import DoltConfig, DoltTable, NewBranch, lineage, write
from flytekitplugins.dolt.__main__ import main
from flytekitplugins.dolt.api.table import store
from flytekitplugins.dolt.history.lineages import Lineage
from flytekitplugins.dolt.model.provenance import Execution, Provenance, ReadRecord, WriteRecord, compose
from flytekitplugins.dolt.repository import connections, refs

ONE_REPOSITORY = True

Config = Callable[..., DoltConfig]
Dolt = Callable[..., str]
HOSTILE = "<script>\"a'b]]>-->%%{x}[y](z)`#35;&lt;\\N|\u202e"
"""What no format may take for its own, and Dolt takes for the name of a table."""
LONG = "shop.workflows." + "a_very_long_name_" * 20 + ".build"


def made(
    config: DoltConfig, *reads: ReadRecord, task: str = "t", run: str = "run", node: str | None = None, value: int = 1
) -> str:
    """Commit a table as a task would that had read ``reads``; return the commit's hash."""
    mode = config.mode or "replace"
    who = Execution(f"ex:p:d:{run}", task=task, node=node)
    origin = Provenance(execution=who, writes=(WriteRecord(str(config.tablename), mode),), reads=reads)
    table = store(DoltTable(config, pd.DataFrame({"a": [value]})), message=compose(None, origin))
    assert table.commit is not None
    return table.commit.hash


def committed(repo: Path, *statements: str, message: str) -> str:
    """Run statements on main, and return the commit of what they changed."""
    with connections.connect(refs.locate(repo)) as connection, connection.at("main"):
        for statement in statements:
            connection.execute(statement)
        ((commit,),) = connection.query("CALL DOLT_COMMIT('-Am', %s)", message)
    return str(commit)


def seen(found: Lineage) -> Picture:
    """Return the picture, which has to be the same in all formats, each time, and in which nothing overlaps."""
    picture = read_svg(found.to_svg())
    check_places(picture)
    labels = sorted([line for line in box.lines if line] for box in picture.boxes)
    for other in (read_mermaid(found.to_mermaid()), read_dot(found.to_dot())):
        assert sorted(other.nodes.values()) == labels
        assert len(other.edges) == len(picture.edges)
    assert found.to_svg() == found.to_svg()
    return picture


def names(picture: Picture, kind: str) -> list[str]:
    return sorted(box.lines[0] for box in picture.boxes if kind in box.kinds)


def test_tables_and_what_made_them(config: Config, repo: Path) -> None:
    """Each table at a commit is a box, and so is each execution between them; the start stands out."""
    users = made(config("users"), task="load.users")
    by_hand = committed(repo, "create table countries (a int primary key)", message="countries, by hand")
    made(config("big"), ReadRecord(users, ".", table="users"), task="select.big")
    head = refs.resolve(repo, None).hash
    reads = [ReadRecord(head, ".", table=name) for name in ("users", "big", "countries")]
    result = made(config("out"), *reads, ReadRecord("0" * 32, "/elsewhere", table="prices"), task="join.all")
    picture = seen(lineage(result, db_path=repo))
    assert names(picture, "table") == ["big", "countries", "out", "users"]
    assert names(picture, "execution") == ["join.all", "load.users", "select.big"]
    assert names(picture, "commit") == ["countries, by hand"]
    assert names(picture, "gap") == ["? prices"]
    assert names(picture, "start") == ["out"]
    assert len(picture.edges) == 4 + 1 + 4
    assert picture.title == f"Lineage of out at {result[:8]}"
    assert {box.lines[1] for box in picture.boxes if "table" in box.kinds} >= {users[:8], by_hand[:8], result[:8]}
    assert all(users in box.title for box in picture.boxes if box.lines == ("users", users[:8]))
    assert "1 read was not followed." in picture.texts


def test_one_execution_is_one_box(config: Config, repo: Path) -> None:
    """What one node of an execution wrote hangs on one box; of local runs, whose nodes are not known, on one each."""
    users = made(config("users"), node="n0")
    made(config("a"), ReadRecord(users, ".", table="users"), node="n1")
    made(config("b"), ReadRecord(users, ".", table="users"), node="n1")
    made(config("c"), ReadRecord(users, ".", table="users"))
    made(config("d"), ReadRecord(users, ".", table="users"))
    picture = seen(lineage(users, db_path=repo))
    marks = sorted(box.lines[1].split(" · ")[0] for box in picture.boxes if "execution" in box.kinds)
    assert marks == ["run", "run", "run n0", "run n1"]
    assert names(picture, "table") == ["a", "b", "c", "d", "users"]
    again = made(config("users"), ReadRecord(users, ".", table="users"), node="n0", value=2)  # it read its own output
    picture = seen(lineage(again, db_path=repo))
    assert names(picture, "table") == ["users", "users"]
    assert (names(picture, "execution"), len(picture.edges)) == (["t"], 3)


def test_executions_without_a_task_are_told_apart(config: Config, repo: Path) -> None:
    """A run of Flyte 2 has long names and does not tell its task: their starts are shown, whole ones in the tooltip."""
    run, actions = (
        "ex:local:local:10f2c1e0-0f02-422d-a659-b3ef2c023625",
        ["jbtteouo7pzyxbkpfrmoz262", "3ybg3rap4ykshgmv4"],
    )
    origins = [
        Provenance(execution=Execution(run, node=node * 2), writes=(WriteRecord("t", "append"),)) for node in actions
    ]
    committed(repo, "create table t (a int primary key)", message=compose(None, origins[0]))
    last = committed(repo, "insert into t values (5)", message=compose(None, origins[1]))
    boxes = [box for box in seen(lineage(last, db_path=repo)).boxes if "execution" in box.kinds]
    lines = sorted((box.lines[0], box.lines[1].split(" · ")[0]) for box in boxes)
    assert lines == [("execution 10f2c1e0…", "3ybg3rap…"), ("execution 10f2c1e0…", "jbtteouo…")]
    assert all(run in box.title for box in boxes)
    assert [sum(node * 2 in box.title for box in boxes) for node in actions] == [1, 1]


def test_a_commit_alone_is_drawn(repo: Path) -> None:
    """Where there is nothing to follow, the commit itself is the picture."""
    found = lineage("main", db_path=repo)
    picture = seen(found)
    (box,) = picture.boxes
    assert (box.kinds, box.title.split("\n")[0]) == (
        {"commit", "start"},
        f"Initialize data repository {found.start.commit}",
    )
    assert picture.edges == ()
    assert picture.title.startswith("Lineage of the commit at ")


def test_a_branch_that_is_merged_back_and_tables_that_read_themselves(config: Config, repo: Path, dolt: Dolt) -> None:
    """What was appended on two branches and merged is drawn to the end, and nothing is drawn twice."""
    first = made(DoltConfig(str(repo), "t", primary_key=["a"]))
    there = committed(repo, "insert into t values (5)", message=compose(None, _appends("t")))
    write(config("t", mode="append", branch_conf=NewBranch("dev")), pd.DataFrame({"a": [7]}))
    committed(repo, "insert into t values (6)", message=compose(None, _appends("t")))
    dolt("sql", "-q", "call dolt_merge('dev', '-m', 'merged')")
    merge = refs.resolve(repo, None).hash
    result = made(config("out"), ReadRecord(merge, ".", table="t"))
    picture = seen(lineage(result, db_path=repo))
    assert "merged" in names(picture, "commit")
    assert len(names(picture, "commit")) == 2  # and the one on the branch, which no task made
    assert [names(picture, "table").count(name) for name in ("out", "t")] == [1, 5]
    picture = seen(lineage(first, db_path=repo))
    assert there[:8] in {box.lines[1] for box in picture.boxes}
    assert names(picture, "table").count("t") >= 3
    assert len({box.title for box in picture.boxes}) == len(picture.boxes)


def _appends(table: str) -> Provenance:
    return Provenance(execution=Execution("ex:p:d:n", task="append"), writes=(WriteRecord(table, "append"),))


def test_names_are_text_in_each_format(config: Config, repo: Path) -> None:
    """A table, a task, an execution, a message and a read with signs of every format are drawn as they are called."""
    quoted = HOSTILE.replace("`", "``")
    creates = f"create table `{quoted}` (a int primary key)"
    by_hand = committed(repo, creates, message=f"{HOSTILE} {HOSTILE}\n{HOSTILE}")
    reads = [ReadRecord(by_hand, ".", table=HOSTILE), ReadRecord("0" * 32, f"/{HOSTILE}", table=f"{HOSTILE}\n2")]
    result = made(config("out"), *reads, task=f"{HOSTILE}😀", run=HOSTILE)
    again = made(config("more"), ReadRecord(result, ".", table="out"), task=LONG)
    found = lineage(again, db_path=repo)
    picture = seen(found)
    shown = HOSTILE.replace("\u202e", "\\u202e")
    for said in (
        [box.title for box in picture.boxes],
        read_mermaid(found.to_mermaid()).said,
        read_dot(found.to_dot()).said,
    ):
        assert [line for line in said if shown in line]
        assert [line for line in said if LONG[:290] in line]
    for text in (found.to_svg(), found.to_mermaid(), found._repr_html_()):
        assert "<script" not in text
    assert all(sign.isprintable() or sign == "\n" for text in (found.to_svg(), found.to_dot()) for sign in text)


@pytest.mark.slow
def test_300_executions_are_drawn_in_a_few_boxes(repo: Path) -> None:
    """A history of 300 runs of three tasks, each on the table before and its own, is one box for each of them."""
    with connections.connect(refs.locate(repo)) as connection, connection.at("main"):
        for table in ("t0", "t1", "t2"):
            connection.execute(f"create table {table} (a int primary key)")
        ((head,),) = connection.query("CALL DOLT_COMMIT('-Am', 'tables, by hand')")
        for number in range(300):
            own, before = f"t{number % 3}", f"t{(number + 2) % 3}"
            reads = (ReadRecord(head, ".", table=before),)
            who = Execution(f"ex:p:d:e{number}", task=f"flow.task{number % 3}", node="n0")
            connection.execute(f"insert into {own} values (%s)", number)
            message = compose(None, Provenance(execution=who, writes=(WriteRecord(own, "append"),), reads=reads))
            ((head,),) = connection.query("CALL DOLT_COMMIT('-Am', %s)", message)
    found = lineage(head, db_path=repo)
    assert len(found.steps) == 301
    picture = seen(found)
    assert names(picture, "table") == ["t0", "t1", "t2"]
    assert names(picture, "execution") == ["flow.task0", "flow.task1", "flow.task2"]
    assert names(picture, "commit") == ["tables, by hand"]
    assert [box.lines[1] for box in picture.boxes if "execution" in box.kinds] == [
        f"100 runs to {found.start.commit.date:%Y-%m-%d}"
    ] * 3
    oldest = next(step for step in found.steps if step.origin.execution is None)
    assert all(oldest.commit.hash[:8] in box.title for box in picture.boxes if "table" in box.kinds)
    assert "301 executions and commits are drawn as 4 boxes." in picture.texts
    assert len(found.to_svg().encode()) < 300_000
    assert len(found.to_mermaid()) < 50_000


# ------------------------------------------------------------------------------------------------- the command line


@pytest.fixture
def run(repo: Path, config: Config, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Give a function that asks for the lineage of a table and returns what is printed."""
    users = made(config("users"))
    made(config("out"), ReadRecord(users, ".", table="users"))

    def call(*arguments: str, code: int = 0) -> str:
        assert main(["lineage", *arguments, "--db", str(repo)]) == code
        said = capsys.readouterr()
        return said.err if code and "--json" not in arguments else said.out

    return call


def test_pictures_are_written_to_files(run: Callable[..., str], repo: Path, tmp_path: Path) -> None:
    """All formats at once beside the text or JSON, over what was in the files; the same as in Python."""
    files = {name: tmp_path / f"out.{name}" for name in ("svg", "mermaid", "dot")}
    files["svg"].write_text("something longer" * 10_000)
    options = [part for name, file in files.items() for part in (f"--{name}", str(file))]
    assert run(*options) == run()
    assert run(*options, "--json") == run("--json")
    found = lineage("main", db_path=repo)
    for name, file in files.items():
        assert file.read_bytes() == getattr(found, f"to_{name}")().encode()


@pytest.mark.parametrize("name", ["svg", "mermaid", "dot"])
def test_a_dash_prints_the_picture(run: Callable[..., str], repo: Path, name: str) -> None:
    """On standard output it stands alone, for a pipe."""
    assert run(f"--{name}", "-") == getattr(lineage("main", db_path=repo), f"to_{name}")()


def test_two_answers_are_not_printed_at_once(run: Callable[..., str]) -> None:
    """One of them has to go to a file, and nothing is printed."""
    assert re.search("Cannot print --svg and --dot at once.*file", run("--svg", "-", "--dot", "-", code=1))
    assert re.search("Cannot print --svg and --json at once", run("--svg", "-", "--json", code=1))


def test_two_pictures_have_two_files(run: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One would be lost in the other, however its name is spelt."""
    monkeypatch.chdir(tmp_path)
    said = run("--svg", "out", "--dot", str(tmp_path / "out"), code=1)
    assert said == "Cannot write --svg and --dot: they name one file twice. Give each a file of its own.\n"
    assert list(tmp_path.glob("out")) == []


@pytest.mark.parametrize(
    "where", ["nowhere/out.svg", "", "folder", "folder/a\0b", "x" * 300, "/dev/full", "mysql://me:pw@h/d"]
)
def test_a_file_that_cannot_be_written_is_refused(
    run: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    """A missing folder, a folder in its place, a name that no file has, a full disk: one line that says what to do."""
    (tmp_path / "folder").mkdir()
    monkeypatch.chdir(tmp_path)
    said = run("--svg", where, code=1)
    assert re.search("^Cannot write the picture to '.*': .+\\. Name a file", said)
    assert len(said.splitlines()) == 1
    assert "\0" not in said
    assert "pw" not in said


# -------------------------------------------------------------------------------------------------------- a browser

FITS = """[...document.querySelectorAll('g.node')].flatMap(group => {
  const box = group.querySelector('.box').getBBox();
  return [...group.querySelectorAll('text')].filter(text => {
    const own = text.getBBox();
    return own.x < box.x + 6 || own.x + own.width > box.x + box.width || own.y < box.y
      || own.y + own.height > box.y + box.height;
  }).map(text => text.textContent);
})"""
COLOURS = """[getComputedStyle(document.querySelector('.paper')).fill,
  getComputedStyle(document.querySelector('.node text')).fill].join('/')"""


@pytest.mark.slow
def test_a_browser_shows_it_in_light_and_dark(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A screen reader is told its words, the labels fit their boxes as they are drawn, colours are the reader's."""
    monkeypatch.chdir(tmp_path)  # which the example leaves
    found = lineage_screenshot.example_lineage(tmp_path)
    page = tmp_path / "page.html"
    page.write_text(f"<!doctype html><meta charset='utf-8'><title>mine</title>{found._repr_html_()}")
    picture = read_svg(found.to_svg())
    colours = []
    for scheme in ("light", "dark"):
        with Page(page.as_uri(), tmp_path, scheme=scheme) as shown:
            ((_, name, description),) = [node for node in shown.accessible() if node[0] == "image"]
            assert (name, description) == (picture.title, picture.description)
            for words in ("5 tables", "4 executions", "users", "load_orders", "features", "prices", "report"):
                assert words in description, words
            shown.run("document.querySelector('details').open = true")
            cells = [name for role, name, _ in shown.accessible() if role in ("cell", "gridcell")]
            assert len(cells) == 2 * len(picture.edges)
            assert shown.run(FITS) == []
            colours.append(shown.run(COLOURS))
    assert colours == ["rgb(255, 255, 255)/rgb(28, 36, 48)", "rgb(22, 27, 34)/rgb(228, 233, 240)"]


@pytest.mark.slow
def test_a_browser_shows_hostile_names_as_text(config: Config, repo: Path, tmp_path: Path) -> None:
    """As a file and on a page: nothing is run, and each name fits its box."""
    head = refs.resolve(repo, None).hash
    told = [
        "<script>document.title='owned'</script>",
        "]]></style><img src=x onerror=\"document.title='owned'\">",
        LONG,
    ]
    told += [HOSTILE, "日本語の表" * 10, "😀" * 40, "W" * 64, "عربى עברית", "z" + "\u0336\u0338" * 30]
    result = made(config("out"), *(ReadRecord(head, ".", table=name) for name in told), task=told[0])
    found = lineage(result, db_path=repo)
    (tmp_path / "page.html").write_text(
        f"<!doctype html><meta charset='utf-8'><title>mine</title>{found._repr_html_()}"
    )
    (tmp_path / "file.svg").write_text(found.to_svg())
    for name in ("page.html", "file.svg"):
        with Page((tmp_path / name).as_uri(), tmp_path, scheme="light") as shown:
            assert shown.run("document.title") == ("mine" if name == "page.html" else read_svg(found.to_svg()).title)
            assert shown.run("document.querySelectorAll('script, img, parsererror').length") == 0
            assert shown.run("document.querySelectorAll('g.node').length") == len(told) + 2
            assert shown.run(FITS) == []


def test_the_page_has_the_edges_as_a_table(config: Config, repo: Path) -> None:
    """What a notebook shows are picture, table and tree, with the same names."""
    users = made(config("users"))
    page = lineage(made(config("out"), ReadRecord(users, ".", table="users")), db_path=repo)._repr_html_()
    for tag in ("svg", "details", "pre"):
        part = html.unescape(page.partition(f"<{tag}")[2].partition(f"</{tag}>")[0])
        assert "users" in part
        assert "out" in part

"""What README and docs say is so: programs print what stands there, pages are true to the code."""

from __future__ import annotations

import doctest
import importlib
import re
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

import flytekitplugins.dolt
from flytekitplugins.dolt import errors

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "flytekitplugins" / "dolt"
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])


def blocks(page: str, language: str) -> list[str]:
    """Return the fenced blocks of one language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)


def test_the_readmes_program_is_short() -> None:
    """The first program is complete in some fifteen lines; tests/docs/test_pages.py runs it."""
    program = blocks((ROOT / "README.md").read_text(), "python")[0]
    assert len([line for line in program.splitlines() if line]) <= 16
    compile(program, "README.md", "exec")


def test_the_readme_fits_on_two_screens() -> None:
    """What does not belong there stands on a page of the guide."""
    assert len((ROOT / "README.md").read_text().splitlines()) <= 100


def test_the_readmes_program_makes_nothing_when_it_is_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Flyte imports a program wherever it registers or runs it; only `python program.py` makes the repository."""
    (tmp_path / "readmes_program.py").write_text(blocks((ROOT / "README.md").read_text(), "python")[0])
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    program = importlib.import_module("readmes_program")
    assert program.rabbits.primary_key == ["name"]
    assert [path.name for path in tmp_path.iterdir() if path.name != "__pycache__"] == ["readmes_program.py"]


def test_the_readmes_commands_are_there() -> None:
    """Every make target and every `python -m flytekitplugins.dolt ...` that README and docs name exists."""
    text = "".join(page.read_text() for page in PAGES)
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert (
        set(re.findall(r"`?make ([a-z-]+)", "\n".join(re.findall(r"(?:`|^)make [a-z-]+", text, re.MULTILINE))))
        <= targets
    )
    for command in set(re.findall(r"python -m flytekitplugins\.dolt (\w+)", text)):
        done = subprocess.run(
            [sys.executable, "-m", "flytekitplugins.dolt", command, "--help"],
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == 0, f"{command}: {done.stderr}"


@pytest.mark.skipif(int(pd.__version__.split(".")[0]) < 3, reason="the page is of pandas 3")
def test_the_page_of_types_is_what_the_code_does() -> None:
    """docs/types.md is made out of the codec, and nothing else."""
    done = subprocess.run(
        [sys.executable, str(ROOT / "tools" / "types_page.py"), "--check"], capture_output=True, text=True, timeout=250
    )
    assert done.returncode == 0, done.stderr


def test_the_page_of_the_command_line_is_what_the_parser_says() -> None:
    """docs/command-line.md is made out of the parser, and nothing else; the guide's index and the README link it."""
    tool = ROOT / "tools" / "command_line_page.py"
    done = subprocess.run([sys.executable, str(tool), "--check"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "(command-line.md)" in (ROOT / "docs" / "README.md").read_text()
    assert "(docs/command-line.md)" in (ROOT / "README.md").read_text()


def test_the_architecture_names_every_file() -> None:
    """The map has each module, and no module that is not there."""
    named = re.findall(r"^\| `([\w/]+\.py)`", (ROOT / "docs" / "architecture.md").read_text(), re.MULTILINE)
    there = [path for folder in ("dolt", "doltdb", "sqlalchemy") for path in (PACKAGE.parent / folder).rglob("*.py")]
    files = [str(path.relative_to(PACKAGE.parent)) for path in there if path.name != "__init__.py"]
    assert sorted(named) == sorted(files)


def test_every_decision_is_listed() -> None:
    """The index of the decisions has each page under its number."""
    folder = ROOT / "docs" / "decisions"
    pages = sorted(path.name for path in folder.glob("0*.md"))
    assert re.findall(r"\((0\d+-[\w-]+\.md)\)", (folder / "README.md").read_text()) == pages


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_within_the_project_lead_somewhere(page: Path) -> None:
    """Each relative link names a file or folder."""
    links = re.findall(r"\]\((?!https?://)([^)#]+)", page.read_text())
    assert [link for link in links if not (page.parent / link).exists()] == []


def modules_with_examples() -> list[str]:
    """Return the modules of both packages in which a docstring shows an example."""
    files = [
        file for file in ROOT.glob("flytekitplugins/**/*.py") if re.search("^ +>>> ", file.read_text(), re.MULTILINE)
    ]
    return sorted(".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__") for file in files)


@pytest.mark.parametrize("name", modules_with_examples())
def test_examples_in_docstrings_run(name: str) -> None:
    """What a docstring shows is what happens."""
    module = importlib.import_module(name)
    finder, ran = doctest.DocTestFinder(exclude_empty=True), 0
    # A class of `configs` and `table` says that it is of the module from which users import it.
    public = importlib.import_module("flytekitplugins.dolt.schema")
    for test in [*finder.find(module), *(finder.find(public) if name.endswith((".configs", ".table")) else [])]:
        found = doctest.DocTestRunner().run(test)
        assert found.failed == 0, test.name
        ran += found.attempted
    assert ran or name == "flytekitplugins.dolt.api.versions", "no example was found"  # that one shows a repository


def test_every_error_stands_in_troubleshooting() -> None:
    """The page has a row for each error class, in the order of the tree, and none that is gone."""
    rows = re.findall(r"^\| `(\w+)` \| .+ \| .+ \|$", (ROOT / "docs" / "troubleshooting.md").read_text(), re.MULTILINE)
    tree = re.findall(r"^ +[├└]── (\w+) ", errors.__doc__ or "", re.MULTILINE)
    assert rows == tree


def test_what_may_be_tried_again_is_said() -> None:
    """The page names the transient errors, which Flyte runs a task again after."""
    page = (ROOT / "docs" / "troubleshooting.md").read_text()
    section = page.partition("## What may be tried again")[2].partition("##")[0]
    assert {error.__name__ for error in errors.TRANSIENT} == set(re.findall(r"`(\w+)`", section))


def test_every_page_stands_in_the_index() -> None:
    """docs/README.md leads to each page of the guide."""
    index = (ROOT / "docs" / "README.md").read_text()
    pages = [page.name for page in ROOT.glob("docs/*.md") if page.name not in ("README.md", "index.md", "cookbook.md")]
    assert [name for name in pages if f"]({name})" not in index] == []


GUIDE = re.findall(r"^\| \[(.+?)\]\((.+?)\) \| (.+) \|$", (ROOT / "docs" / "README.md").read_text(), re.MULTILINE)


def test_the_guide_is_in_one_order() -> None:
    """The index on GitHub and the menu of the built pages list the same pages, one after the other."""
    menu = (ROOT / "docs" / "index.md").read_text().partition(":caption: Guide\n")[2].partition("```")[0].split()
    assert [Path(target).stem.replace("README", "cookbook") for _, target, _ in GUIDE] == menu


@pytest.mark.parametrize("place", range(len(GUIDE)), ids=lambda place: GUIDE[place][0])
def test_a_page_answers_one_question_and_leads_to_the_next(place: int) -> None:
    """Its first paragraph is the question that the index has, its last line a link to the page after it."""
    _, target, question = GUIDE[place]
    page = (ROOT / "docs" / target).resolve()
    title, first, *_ = re.sub(r"^<!--.*?^-->\n", "", page.read_text(), flags=re.MULTILINE | re.DOTALL).split("\n\n")
    assert (title[:2], first) == ("# ", f"**{question}**")
    assert question.count("?") == 1
    name, link = re.findall(r"\n\nNext: \[(.+)\]\((.+)\)\n\Z", page.read_text())[0]
    following = GUIDE[place + 1][:2] if place + 1 < len(GUIDE) else ("Architecture", "architecture.md")
    assert (name, (page.parent / link).resolve()) == (following[0], (ROOT / "docs" / following[1]).resolve())


def slug(heading: str) -> str:
    """Return the anchor that GitHub gives a heading."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_to_headings_lead_to_one(page: Path) -> None:
    """Each link with an anchor names a heading of its page."""
    for target, anchor in re.findall(r"\]\((?!https?://)([^)#]*)#([^)]+)\)", page.read_text()):
        text = (page.parent / target).read_text() if target else page.read_text()
        assert anchor in {slug(heading) for heading in re.findall(r"^#+ (.+)$", text, re.MULTILINE)}, (target, anchor)


def test_the_reference_names_every_public_name() -> None:
    """docs/reference has each name that a user can import from the package."""
    reference = (ROOT / "docs" / "reference" / "dolt.rst").read_text()
    named = set(re.findall(r"^\.\. auto\w+:: (\w+)$", reference, re.MULTILINE))
    assert named == set(flytekitplugins.dolt.__all__) - {"DoltError"}


def test_every_environment_variable_is_documented() -> None:
    """A setting that the code reads stands in README or docs."""
    code = "".join(path.read_text() for path in PACKAGE.glob("*.py"))
    text = "".join(page.read_text() for page in PAGES)
    for variable in set(re.findall(r"FLYTE_DOLT_\w+|DOLT_BIN", code)):
        assert variable in text, variable


def test_the_changelog_starts_with_what_is_not_released() -> None:
    """Users find what is new at the top."""
    assert re.search(r"^## (.*)$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)[1] == "Unreleased"  # type: ignore[index]
    assert flytekitplugins.dolt.__doc__


@pytest.mark.skipif(sys.version_info < (3, 11), reason="the standard library reads no TOML")
def test_the_picture_of_the_packages_is_that_of_the_contract() -> None:
    """docs/architecture.md shows the layers that pyproject.toml holds."""
    assert subprocess.run([sys.executable, str(ROOT / "tools" / "packages_picture.py"), "--check"]).returncode == 0

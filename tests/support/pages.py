"""Runs the fenced blocks of a page in their order, as a reader does who tries them one after the other.

`python pages.py PAGE FOLDER` runs the Python blocks in one interpreter and the shell blocks in one shell's folder, and
prints as JSON what each of them printed. What a page takes for granted (a repository with some tables) is made first,
by the Python in its comment ``<!-- before this page is run: ... -->``. test_pages.py starts it and compares.
"""

from __future__ import annotations

import contextlib
import io
import json
import linecache
import os
import re
import subprocess
import sys
import warnings
from dataclasses import dataclass
from pathlib import Path

_FENCE = re.compile(
    r"^(?:<!-- (?P<remark>[^\n]*?) -->\n)?^```(?P<language>[a-z]+)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL
)


_BEFORE = re.compile(r"^<!-- before this page is run:\n(.*?)^-->$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Block:
    """One fenced block."""

    language: str
    text: str
    line: int
    """Where it starts in the page."""
    expected: str | None
    """What the page says that it prints: the `text` block that follows, or what follows the commands in a console."""
    not_run: str | None
    """Why it is not run, as the comment before it says: ``<!-- not run: needs the internet -->``."""
    run_by: str | None
    """The test that runs it instead, as the comment before it says: ``<!-- run by tests/test_x.py -->``."""

    @property
    def runs_here(self) -> bool:
        """Whether it is run with its page."""
        return self.not_run is None and self.run_by is None


def told_apart_by(text: str) -> list[str]:
    """Return the lines without what differs from run to run: hashes, times, ports, and spaces at the end."""
    text = re.sub(r"\b[0-9a-v]{32}\b", "<commit>", text)
    text = re.sub(r"\b(?=[a-v]*\d)[0-9a-v]{8}\b", "<commit>", text)
    text = re.sub(r"\b(commit|at|is|to|from) [0-9a-v]{8}\b", r"\1 <commit>", text)
    text = re.sub(r"\b\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d(\.\d+)?", "<time>", text)
    text = re.sub(r"[A-Z][a-z]{2} [A-Z][a-z]{2} \d\d \d\d:\d\d:\d\d [+-]\d{4} \d{4}", "<time>", text)
    text = re.sub(r"(@127\.0\.0\.1):\d+", r"\1:<port>", text)
    return [line.rstrip() for line in text.strip().splitlines()]


def agree(printed: str, expected: str) -> bool:
    """Whether the output is what the page shows; a line of three dots stands for any number of lines."""
    shown = [re.escape(line) for line in told_apart_by(expected)]
    pattern = "\n".join(".*" if line == re.escape("...") else line for line in shown)
    return re.fullmatch(pattern.replace(".*\n", "(?:.*\n)*?"), "\n".join(told_apart_by(printed)), re.DOTALL) is not None


def sessions(example: Path) -> list[tuple[str, str]]:
    """Return the commands that an example's docstring shows, each with the output below it."""
    head = example.read_text().split('"""')[1]
    found = re.findall(r"^    \$ (.+)\n((?:^(?:    (?!\$ ).*)?\n)*)", head, re.MULTILINE)
    return [(command, re.sub(r"^    ", "", output, flags=re.MULTILINE)) for command, output in found]


def blocks(page: str) -> list[Block]:
    """Return the blocks that can be run, each with what it should print."""
    fences = list(_FENCE.finditer(page))
    found = []
    for position, fence in enumerate(fences):
        language, text, remark = fence["language"], fence["text"], fence["remark"] or ""
        if language not in ("python", "bash", "console"):
            continue
        after = fences[position + 1] if position + 1 < len(fences) else None
        close = after is not None and after["language"] == "text" and not page[fence.end() : after.start()].strip()
        expected = after["text"] if close and after is not None else None
        if language == "console":
            expected = "".join(line for line in text.splitlines(keepends=True) if not line.startswith("$ "))
            text = "".join(line[2:] for line in text.splitlines(keepends=True) if line.startswith("$ "))
        line = page[: fence.start("text")].count("\n")
        found.append(Block(language, text, line, expected, _after("not run: ", remark), _after("run by ", remark)))
    return found


def _after(word: str, remark: str) -> str | None:
    return remark.removeprefix(word) if remark.startswith(word) else None


class Reader:
    """Somebody who tries a page: one namespace for Python, one current folder for both."""

    def __init__(self, page: str, place: Path) -> None:
        self.page, self.place = page, place
        self.names: dict[str, object] = {"__name__": "__main__"}

    def python(self, block: Block) -> str:
        """Run Python and return what is printed, an error as the last line that a traceback shows of it."""
        printed = io.StringIO()
        name = f"<{self.page}:{block.line}>"
        linecache.cache[name] = (len(block.text), None, block.text.splitlines(keepends=True), name)
        with contextlib.redirect_stdout(printed):
            try:
                exec(compile(block.text, name, "exec", dont_inherit=True), self.names)
            except Exception as error:
                if block.expected is None:
                    raise
                kind = type(error)
                print(f"{kind.__module__}.{kind.__qualname__}: {error}")
        return printed.getvalue()

    def shell(self, block: Block) -> str:
        """Run shell commands where the last ones left off and return what they print."""
        done = subprocess.run(
            ["bash", "-ec", f'{block.text}\npwd >"$PLACE"'],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=240,
            env={**os.environ, "PLACE": str(self.place)},
            check=False,
        )
        if done.returncode:
            raise SystemExit(f"{self.page}:{block.line}: {block.text}{done.stdout}")
        os.chdir(self.place.read_text().strip())
        return re.sub(r"\x1b\[[0-9;]*m", "", done.stdout)


def main(page: Path, folder: Path) -> None:
    """Run the page in the folder and print the outputs."""
    os.chdir(folder)
    reader, outputs = Reader(page.name, folder.with_name(f"{folder.name}.place")), []
    text = page.read_text()
    for needed in _BEFORE.findall(text):
        reader.python(Block("python", needed, 1, None, None, None))
    for block in blocks(text):
        run = reader.python if block.language == "python" else reader.shell
        outputs.append(run(block) if block.runs_here else None)
    print(json.dumps(outputs))


if __name__ == "__main__":
    warnings.simplefilter("ignore", ResourceWarning)
    main(Path(sys.argv[1]).absolute(), Path(sys.argv[2]).absolute())

"""Runs the tests on both cores: two ordinary pytest processes side by side, then what must be alone; adds them up.

`python tools/run_lanes.py` runs everything and counts the lines that are run; `--quick` is the round before a commit.
Each lane has a TMPDIR and a HOME of its own, and whole folders of tests: the file that a test is in is a part of the
names of its Flyte tasks, so nothing is dealt out test by test. What is printed is printed as it comes, with the lane's
name before it. The last line is the sum in pytest's words, and the status is that of the worst lane.
"""

from __future__ import annotations

import argparse
import os
import re
import resource
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
BIN = Path(sys.prefix) / "bin"
SUM = ROOT / ".pytest_cache" / "sum"
"""The file of the last sum."""

DOLT = ROOT / ".venv" / "dolt-path"
"""The file that names the dolt that `make setup` has found."""

SECOND = ("sqlalchemy", "flyte", "docs", "package", "unit")
"""The folders of the second lane; every other folder is in the first."""

AFTER_SECOND = ("tools/test_oldest.sh",)
"""What the second lane runs after its folders."""

QUICK = {
    "dolt": ("test_types.py", "test_frames.py", "test_gate.py", "test_repository.py", "test_merging.py"),
    "sqlalchemy": ("test_sql_tasks.py", "test_on_dolt.py", "test_sql_types.py", "test_injection.py"),
    "flyte": ("test_transformer.py", "test_structured.py"),
    "reliability": ("test_retried_writes.py",),
    "docs": ("test_docs.py", "test_guarantees.py", "test_typing.py"),
    "package": ("test_import.py",),
}
"""What of a folder is in the quick round; all files of folders that are not named. Slow tests are in none."""

WORDS = ("passed", "failed", "error", "skipped", "deselected", "xfailed", "xpassed")
ENDS_WITHIN_S = 30

_said = threading.Lock()


@dataclass
class Lane:
    """Commands that run one after the other, and what came of them."""

    name: str
    commands: list[list[str]]
    folder: Path
    """Where its TMPDIR and HOME are."""

    counts: Counter[str] = field(default_factory=Counter)
    status: int = 0
    took_s: float = 0
    process: subprocess.Popen[str] | None = None
    is_stopped: bool = False
    log: list[str] = field(default_factory=list)

    def run(self) -> None:
        """Run the commands, also those after one that failed."""
        began = time.monotonic()
        for command in self.commands:
            if not self.is_stopped:
                self.status = self._run(command) or self.status
        self.took_s = time.monotonic() - began

    def _run(self, command: list[str]) -> int:
        self.process = subprocess.Popen(
            command,
            cwd=ROOT,
            env=self._environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        )
        last = ""
        with self.process as process:
            for line in process.stdout or ():
                with _said:
                    print(f"{self.name} | {line}", end="", flush=True)
                self.log.append(line)
                last = line if line.strip() else last
        status = abs(process.returncode)
        found = summary(last)
        self.counts += found
        if not found and not status:
            self.log.append(f"{command}: no summary at the end\n")
            return 1
        return 0 if status == 5 else status  # nothing was chosen

    def _environment(self) -> dict[str, str]:
        home = self.folder / "home"
        temp = self.folder / "tmp"
        for path in (home, temp):
            path.mkdir(exist_ok=True)
        users = Path.home()
        return {
            **os.environ,
            **({"DOLT_BIN": DOLT.read_text().strip()} if DOLT.exists() and not os.environ.get("DOLT_BIN") else {}),
            "XDG_CACHE_HOME": os.environ.get("XDG_CACHE_HOME", str(users / ".cache")),
            "XDG_CONFIG_HOME": os.environ.get("XDG_CONFIG_HOME", str(users / ".config")),
            "HOME": str(home),
            "TMPDIR": str(temp),
            "PYTHONUNBUFFERED": "1",
        }

    def stop(self) -> None:
        """Have what runs come to its end, and end what does not."""
        self.is_stopped = True
        if self.process is None or self.process.poll() is not None:
            return
        self.process.send_signal(signal.SIGINT)  # pytest stops what its tests have started
        try:
            self.process.wait(ENDS_WITHIN_S)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)

    def failures(self) -> str:
        """Return what pytest said of the tests that failed."""
        text = "".join(self.log)
        return "".join(re.findall(r"^=+ (?:FAILURES|ERRORS) =+$.*?(?=^=+ [^=]*summary|\Z)", text, re.M | re.S))

    def failed(self) -> list[str]:
        """Return the lines of the tests that failed."""
        return [line for line in self.log if re.match(r"(FAILED|ERROR) \S", line)]


def summary(line: str) -> Counter[str]:
    """Return the numbers of a summary of pytest's by their words; no numbers if it is none.

    >>> dict(summary("== 2 failed, 31 passed, 1 error in 2.20s =="))
    {'failed': 2, 'passed': 31, 'error': 1}
    >>> dict(summary("no tests ran"))
    {}
    """
    if not re.search(r" in [\d.]+s", line):
        return Counter()
    return Counter({word: int(count) for count, word in re.findall(rf"(\d+) ({'|'.join(WORDS)})", line)})


def sentence(counts: Counter[str]) -> str:
    """Return the sum as pytest's closing line has it: an error is a failure.

    >>> sentence(Counter(passed=3, failed=1, error=1, deselected=9))
    '3 passed, 2 failed, 0 skipped'
    """
    failed = counts["failed"] + counts["error"]
    return f"{counts['passed'] + counts['xfailed']} passed, {failed} failed, {counts['skipped']} skipped"


def folders() -> tuple[list[str], list[str]]:
    """Return the folders of the first and of the second lane."""
    there = sorted({path.parent.name for path in (ROOT / "tests").glob("*/test_*.py")})
    assert set(SECOND) <= set(there), f"a folder of the second lane is gone: {set(SECOND) - set(there)}"
    return [name for name in there if name not in SECOND], list(SECOND)


def pytest(lane: str, chosen: str, paths: Sequence[str], *, counted: bool) -> list[str]:
    """Return the command for these paths; pytest by its path: run by -m, it would be a part of the tasks' names."""
    before = [str(BIN / "coverage"), "run"] if counted else []
    cache = f"cache_dir={ROOT / '.pytest_cache' / lane}"
    return [*before, str(BIN / "pytest"), "-q", "-o", cache, "-m", chosen, *paths]


def side_by_side(lanes: Sequence[Lane]) -> None:
    """Run lanes at the same time."""
    threads = [threading.Thread(target=lane.run) for lane in lanes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


@contextmanager
def places(names: Sequence[str]) -> Iterator[dict[str, Path]]:
    """Give each lane a folder, which is removed afterwards."""
    with tempfile.TemporaryDirectory(prefix="lanes-", ignore_cleanup_errors=True) as made:
        top = Path(made)
        top.chmod(0o755)  # PostgreSQL runs as another user
        for name in names:
            (top / name).mkdir()
        yield {name: top / name for name in names}


def told(lane: Lane) -> str:
    """Return one line about a lane."""
    ended = "ok" if lane.status == 0 else f"failed with status {lane.status}"
    return f"== lane {lane.name}: {ended} in {lane.took_s:.0f} s: {sentence(lane.counts)}"


def main(arguments: Sequence[str]) -> int:
    """Run the lanes, say what came of each, and return the worst status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a part of the tests, without counting lines")
    asked = parser.parse_args(arguments)
    with places(["first", "second", "serial"]) as made:
        lanes = quick(made) if asked.quick else everything(made)
        try:
            side_by_side(lanes[:2])
            side_by_side(lanes[2:])
        finally:
            for lane in lanes:
                lane.stop()
    return report(lanes)


def everything(made: dict[str, Path]) -> list[Lane]:
    """Return the lanes of `make test`."""
    first, second = folders()
    rest = [[command] for command in AFTER_SECOND]
    return [
        Lane("first", [pytest("first", "not serial", paths(first), counted=True)], made["first"]),
        Lane("second", [pytest("second", "not serial", paths(second), counted=True), *rest], made["second"]),
        Lane("serial", [pytest("serial", "serial", ["tests"], counted=True)], made["serial"]),
    ]


def quick(made: dict[str, Path]) -> list[Lane]:
    """Return the lanes of `make check`."""
    chosen = "not serial and not slow"
    return [
        Lane(name, [pytest(name, chosen, paths(names, only=QUICK), counted=False)], made[name])
        for name, names in zip(("first", "second"), folders(), strict=True)
    ]


def paths(names: Sequence[str], *, only: Mapping[str, Sequence[str]] | None = None) -> list[str]:
    """Return the paths of folders of tests, or of the files that are named of them."""
    files = only or {}
    return [f"tests/{name}/{file}".rstrip("/") for name in names for file in files.get(name, ("",))]


def report(lanes: Sequence[Lane]) -> int:
    """Print what failed, each lane's line and the sum."""
    for lane in lanes:
        print(lane.failures(), end="")
    for lane in lanes:
        print("".join(lane.failed()), end="")
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    print(f"== all lanes: {used.ru_utime + used.ru_stime:.0f} s of the processor")
    for lane in lanes:
        print(told(lane))
    total = sum((lane.counts for lane in lanes), Counter())
    if any(lane.status for lane in lanes):  # one that broke off has failed, whatever it counted
        total["failed"] = max(1, total["failed"] + total["error"])
        del total["error"]
    SUM.parent.mkdir(exist_ok=True)
    SUM.write_text(f"{sentence(total)}\n")
    print(sentence(total), flush=True)
    return max(lane.status for lane in lanes)


def _stopped(number: int, _: object) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, _stopped)
    sys.exit(main(sys.argv[1:]))

"""Runs the tests on two cores: four ordinary pytest processes side by side, then what times things; adds them up.

`python tools/run_lanes.py` runs everything and counts the lines that are run; `--quick` is the round before a commit.
Each lane has a TMPDIR and a HOME of its own, and takes a whole folder of tests when it is done with the last one (the
longest folder in two parts): the file that a test is in is a part of the names of its Flyte tasks, so nothing is dealt
out test by test. Twice as many lanes as cores use the time in which the others wait for servers. Tests marked serial,
which look at times, run afterwards with a core each. Rows go natively, and in BY_SQL, which is run once more, by SQL.
Lines are shown as they come, with the lane's name before them. The last one is the sum in pytest's words, and the
status is the worst.
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
from collections import Counter, deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
BIN = Path(sys.prefix) / "bin"
SUM = ROOT / ".pytest_cache" / "sum"
"""The file of the last sum."""

DOLT = ROOT / ".venv" / "dolt-path"
"""The file that names the dolt that `make setup` has found."""

SIDE_BY_SIDE = ("1", "2", "3", "4")
"""The names of the lanes that run at the same time."""

SERIAL = ("serial1", "serial2")
"""The names of the lanes for tests that look at times: one for each core, when the others are done."""

LONGEST_FIRST = ("dolt", "security", "sqlalchemy", "flyte", "reliability", "docs", "package")
"""The folders that are taken first, so that both lanes end at about the same time; the others come after them."""

NOT_COUNTED = ("docs", "package", "regression")
"""The folders in which no lines are counted, which others run as well: counting takes up to a half as long again, most
where programs are started that import flytekit."""

BY_SQL = (
    ("tests/reliability",),
    ("tests/regression",),
    tuple(
        f"tests/dolt/test_{name}.py"
        for name in (
            *("types", "frames", "gate", "arrow", "row_order", "deleting", "round_trip", "schemas_that_change"),
            *("merges_that_are_whole", "moved_tables", "places_agree", "repository", "resolving"),
        )
    ),
)
"""What holds whichever way rows go: reliability, values that come back, guarantees. Each part is run by SQL, too."""

NATIVE = "FLYTE_DOLT_NATIVE"
"""The variable that, set to 0, has all rows go by SQL."""

SCRIPTS = (
    ("tools/test_oldest.sh",),
    ("env", "FLYTE2_COUNTED=1", "tools/test_flyte2.sh", "alone"),
    ("tools/test_flyte2.sh", "both"),
    ("tools/test_flyte2.sh", "newest"),
    ("tools/test_flyte2.sh", "oldest"),
)
"""What else is run in a lane; each ends with a summary of pytest's, or with status 5 where it found nothing to run."""

OF_SCRIPTS = ("flyte2",)
"""The folders of tests that are run by these alone, in environments of their own."""

QUICK = {
    "dolt": ("test_types.py", "test_frames.py", "test_merging.py"),
    "sqlalchemy": ("test_sql_tasks.py", "test_on_dolt.py", "test_sql_types.py"),
    "flyte": ("test_transformer.py",),
    "reliability": ("test_retried_writes.py",),
    "docs": ("test_docs.py", "test_guarantees.py"),
    "package": ("test_import.py",),
    "security": ("test_doors.py", "test_lexical_classes.py", "test_triggers.py", "test_what_arrives.py"),
}
"""What of a folder is in the quick round; all files of folders that are not named. Slow tests are in none."""

GOGC = "400"
"""How far Dolt's heap grows before it is collected, in percent: servers that live for a test have seldom a need to."""

WORDS = ("passed", "failed", "error", "skipped", "deselected", "xfailed", "xpassed")
ENDS_WITHIN_S = 30

_said = threading.Lock()


@dataclass
class Lane:
    """What runs commands one after the other, and what came of them."""

    name: str
    commands: deque[list[str]]
    """What is still to be run; another lane may take from it, too."""

    folder: Path
    """Where its TMPDIR and HOME are."""

    counts: Counter[str] = field(default_factory=Counter)
    status: int = 0
    took_s: float = 0
    done: list[str] = field(default_factory=list)
    """A line about each command."""

    process: subprocess.Popen[str] | None = None
    is_stopped: bool = False
    log: list[str] = field(default_factory=list)

    def run(self) -> None:
        """Run the commands, also those after one that failed."""
        began = time.monotonic()
        while self.commands and not self.is_stopped:
            with suppress(IndexError):  # the other lane was faster
                self.status = self._run(self.commands.popleft()) or self.status
        self.took_s = time.monotonic() - began

    def _run(self, command: list[str]) -> int:
        began = time.monotonic()
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
        self.done.append(f"{command[-1]}: {sentence(found)} in {time.monotonic() - began:.0f} s, status {status}")
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
            **{name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"},
            "GOGC": os.environ.get("GOGC", GOGC),
            "DOLT_DISABLE_EVENT_FLUSH": "1",  # else each of the tests' own commands starts another program at its end
            **({"DOLT_BIN": DOLT.read_text().strip()} if DOLT.exists() and not os.environ.get("DOLT_BIN") else {}),
            "XDG_CACHE_HOME": os.environ.get("XDG_CACHE_HOME", str(users / ".cache")),
            "XDG_CONFIG_HOME": os.environ.get("XDG_CONFIG_HOME", str(users / ".config")),
            "HOME": str(home),
            "TMPDIR": str(temp),
            "PIP_NO_COMPILE": "1",  # what is imported is compiled then, and most of a package is not
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


def folders() -> list[str]:
    """Return the folders of tests in the order in which they are taken."""
    there = sorted({path.parent.name for path in (ROOT / "tests").glob("*/test_*.py")} - set(OF_SCRIPTS))
    assert set(LONGEST_FIRST) <= set(there), f"no folder of tests: {set(LONGEST_FIRST) - set(there)}"
    return [*LONGEST_FIRST, *(name for name in there if name not in LONGEST_FIRST)]


def pytest(name: str, chosen: str, paths: Sequence[str], *, counted: bool) -> list[str]:
    """Return the command for these paths; pytest by its path: run by -m, it would be a part of the tasks' names."""
    before = [str(BIN / "coverage"), "run"] if counted else []
    cache = f"cache_dir={ROOT / '.pytest_cache' / name}"
    return [*before, str(BIN / "pytest"), "-o", cache, "-m", chosen, *paths]


def by_sql(name: str, chosen: str, paths: Sequence[str]) -> list[str]:
    """Return the command for these paths with all rows by SQL; no lines are counted, which would take longer."""
    return ["env", f"{NATIVE}=0", *pytest(f"{name}-by-sql", chosen, paths, counted=False)]


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
    with places([*SIDE_BY_SIDE, *SERIAL]) as made:
        lanes = quick(made) if asked.quick else everything(made)
        try:
            side_by_side(lanes[: len(SIDE_BY_SIDE)])
            side_by_side(lanes[len(SIDE_BY_SIDE) :])
        finally:
            for lane in lanes:
                lane.stop()
    return report(lanes)


def everything(made: Mapping[str, Path]) -> list[Lane]:
    """Return the lanes of `make test`."""
    jobs = deque(
        pytest(f"{name}{number}", "not serial", part, counted=name not in NOT_COUNTED)
        for name in folders()
        for number, part in enumerate(halves(name) if name == LONGEST_FIRST[0] else [paths(name)])
    )
    more = [list(script) for script in SCRIPTS]
    more += [by_sql(Path(part[0]).stem, "not serial", part) for part in BY_SQL]
    for command in more:
        jobs.insert(len(LONGEST_FIRST) - 1, command)
    serial = serial_files()
    timed = deque(pytest(Path(file).stem, "serial", [file], counted=True) for file in serial)
    timed += [by_sql(Path(file).stem, "serial", [file]) for file in serial if str(Path(file).parent) in BY_SQL[0]]
    return [
        *(Lane(name, jobs, made[name]) for name in SIDE_BY_SIDE),
        *(Lane(name, timed, made[name]) for name in SERIAL),
    ]


def quick(made: Mapping[str, Path]) -> list[Lane]:
    """Return the lanes of `make check`."""
    chosen = "not serial and not slow"
    jobs = deque(pytest(name, chosen, paths(name, only=QUICK), counted=False) for name in folders())
    return [Lane(name, jobs, made[name]) for name in SIDE_BY_SIDE]


def paths(name: str, *, only: Mapping[str, Sequence[str]] | None = None) -> list[str]:
    """Return the path of a folder of tests, or those of the files that are named of it."""
    return [f"tests/{name}/{file}".rstrip("/") for file in (only or {}).get(name, ("",))]


def halves(name: str) -> list[list[str]]:
    """Return the files of a folder of tests in two parts, one file to each in turn."""
    files = sorted(str(path.relative_to(ROOT)) for path in (ROOT / "tests" / name).glob("test_*.py"))
    return [files[::2], files[1::2]]


def serial_files() -> list[str]:
    """Return the files with tests marked serial, the longest first."""
    files = [path for path in sorted((ROOT / "tests").glob("*/test_*.py")) if "pytest.mark.serial" in path.read_text()]
    files.sort(key=lambda path: path.parent.name != "reliability")
    return [str(path.relative_to(ROOT)) for path in files]


def report(lanes: Sequence[Lane]) -> int:
    """Print what failed, each lane's line and the sum."""
    for lane in lanes:
        print(lane.failures(), end="")
    for lane in lanes:
        print("".join(lane.failed()), end="")
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    print(f"== rows went {', '.join(ways(lanes)) or 'no way'}")
    print(f"== all lanes: {used.ru_utime + used.ru_stime:.0f} s of the processor")
    for lane in lanes:
        print("".join(f"   lane {lane.name}: {line}\n" for line in lane.done), end="")
        print(told(lane))
    total = sum((lane.counts for lane in lanes), Counter())
    if any(lane.status for lane in lanes):  # one that broke off has failed, whatever it counted
        total["failed"] = max(1, total["failed"] + total["error"])
        del total["error"]
    SUM.parent.mkdir(exist_ok=True)
    SUM.write_text(f"{sentence(total)}\n")
    print(sentence(total), flush=True)
    return max(lane.status for lane in lanes)


def ways(lanes: Sequence[Lane]) -> list[str]:
    """Return which ways rows went, as the headers of pytest's reports say: as often as there were runs."""
    said = re.findall(r"^with: rows (.*)$", "".join(line for lane in lanes for line in lane.log), re.M)
    return [f"{way} in {count} runs" for way, count in sorted(Counter(said).items())]


def _stopped(number: int, _: object) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, _stopped)
    sys.exit(main(sys.argv[1:]))

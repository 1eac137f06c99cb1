"""The lanes of `make test`: each folder is run once, what they say is added up, and no failure gets lost."""

from __future__ import annotations

import doctest
import re
import sys
import threading
from collections import Counter, deque
from collections.abc import Iterable
from pathlib import Path

import pytest
import run_lanes
from run_lanes import Lane
from waiting import eventually

from flytekitplugins.dolt.server import procedures

TESTS = Path(__file__).parents[1]


def lane(folder: Path, *programs: str) -> Lane:
    """Return a lane that runs programs of Python."""
    return Lane("a", deque([sys.executable, "-c", program] for program in programs), folder)


def files_of(commands: Iterable[list[str]]) -> list[Path]:
    """Return the test files that commands run, as often as they do."""
    run = [TESTS.parent / part for command in commands for part in command if part.startswith("tests/")]
    return sorted(file for path in run for file in (path.glob("test_*.py") if path.is_dir() else [path]))


def test_each_folder_is_run_once(tmp_path: Path) -> None:
    """A new folder of tests is run without its being named anywhere, and none is run twice."""
    names = [*run_lanes.SIDE_BY_SIDE, *run_lanes.SERIAL]
    lanes = run_lanes.everything(dict.fromkeys(names, tmp_path))
    assert [lane.name for lane in lanes] == names
    commands, timed = lanes[0].commands, lanes[-1].commands
    assert {id(lane.commands) for lane in lanes} == {id(commands), id(timed)}
    files = sorted(file for file in TESTS.glob("*/test_*.py") if file.parent.name not in run_lanes.OF_SCRIPTS)
    commands, timed = natively(commands), natively(timed)
    assert files_of(commands) == files
    assert files_of(timed) == [file for file in files if re.search(r"pytest\.mark\.serial", file.read_text())] != []
    assert sorted(tuple(command) for command in commands if is_script(command)) == sorted(run_lanes.SCRIPTS)
    assert all("serial" in command for command in timed)
    assert all("not serial" in command for command in commands if not is_script(command))


def is_script(command: list[str]) -> bool:
    return tuple(command) in run_lanes.SCRIPTS


def test_a_script_runs_each_folder_that_no_lane_does() -> None:
    """What needs an environment of its own is run by a script that makes it."""
    for folder in run_lanes.OF_SCRIPTS:
        script = f"tools/test_{folder}.sh"
        assert any(script in command for command in run_lanes.SCRIPTS)
        assert f"tests/{folder}" in (run_lanes.ROOT / script).read_text()


def natively(commands: Iterable[list[str]]) -> list[list[str]]:
    """Return the commands by which rows go natively: those that say nothing of the way."""
    return [command for command in commands if not any(run_lanes.NATIVE in word for word in command)]


def test_what_runs_once_more_by_sql(tmp_path: Path) -> None:
    """Each file that is named, once, and what is serial of it, too; nothing else says which way rows go."""
    lanes = run_lanes.everything(dict.fromkeys([*run_lanes.SIDE_BY_SIDE, *run_lanes.SERIAL], tmp_path))
    said = [[command for command in lane.commands if command not in natively(lane.commands)] for lane in lanes]
    assert all(command[:2] == ["env", f"{procedures.SWITCH}=0"] for commands in said for command in commands)
    named = [TESTS.parent / path for part in run_lanes.BY_SQL for path in part]
    assert [path for path in named if not path.exists()] == []
    assert files_of(said[0]) == sorted(
        file for path in named for file in (path.glob("test_*.py") if path.is_dir() else [path])
    )
    serial = [file for file in files_of(said[0]) if re.search(r"pytest\.mark\.serial", file.read_text())]
    assert files_of(said[-1]) == serial != []


def test_each_file_of_the_quick_round_is_there(tmp_path: Path) -> None:
    """A file that moves takes its place in the quick round along; tests/unit is in it as a whole."""
    first, *_ = run_lanes.quick(dict.fromkeys(run_lanes.SIDE_BY_SIDE, tmp_path))
    paths = [part for command in first.commands for part in command if part.startswith("tests/")]
    assert [path for path in paths if not (TESTS.parent / path).exists()] == []
    assert "tests/unit" in paths


def test_its_examples_run() -> None:
    """What its docstrings show is what happens."""
    assert doctest.testmod(run_lanes) == (0, 3)


def test_summaries_are_added_up(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What several commands say at their ends is one sum; each line is shown with the lane's name."""
    one = lane(tmp_path, "print('2 passed, 1 skipped in 0.10s')", "print('x\\n== 3 passed in 61.05s (0:01:01) ==')")
    one.run()
    assert (one.status, one.counts) == (0, Counter(passed=5, skipped=1))
    assert "a | x\n" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("program", "status"),
    [
        ("print('1 passed, 1 failed in 0.10s'); raise SystemExit(1)", 1),
        ("raise SystemExit(3)", 3),
        ("import os; os.kill(os.getpid(), 9)", 9),
        ("print('done')", 1),
    ],
)
def test_no_failure_gets_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], program: str, status: int
) -> None:
    """A failed test, a pytest that breaks off, one that is killed, one without a summary: the sum says it, too."""
    monkeypatch.setattr(run_lanes, "SUM", tmp_path / "made" / "sum")
    one, other = lane(tmp_path, program, "print('1 passed in 0.10s')"), lane(tmp_path, "print('4 passed in 1.00s')")
    for each in (one, other):
        each.run()
    assert run_lanes.report([one, other]) == status
    assert capsys.readouterr().out.splitlines()[-1] == (tmp_path / "made" / "sum").read_text().strip()
    assert ", 1 failed, " in (tmp_path / "made" / "sum").read_text()


def test_the_environment_is_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Programs have a home and a folder for temporary files below the lane's, and the dolt that is named."""
    program = "import os, tempfile; print(os.environ['HOME'], tempfile.gettempdir(), os.environ['DOLT_BIN'], end=' ')"
    (tmp_path / "dolt-path").write_text("/where/dolt is\n")
    monkeypatch.setattr(run_lanes, "DOLT", tmp_path / "dolt-path")
    one = lane(tmp_path, f"{program}; print('1 passed in 0.10s')")
    one.run()
    assert one.log == [f"{tmp_path}/home {tmp_path}/tmp /where/dolt is 1 passed in 0.10s\n"]


def test_what_is_compiled_once_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Programs that tests start find our modules compiled, also where the environment says to keep nothing."""
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    one = lane(tmp_path, "import sys; print(f'{sys.dont_write_bytecode}; 1 passed in 0.10s')")
    one.run()
    assert one.log == ["False; 1 passed in 0.10s\n"]


def test_it_is_stopped(tmp_path: Path) -> None:
    """Ctrl-C reaches what runs, which may clean up, and what would run next is not started."""
    waits = f"import pathlib, time\ntry:\n    pathlib.Path({str(tmp_path / 'runs')!r}).touch(); time.sleep(60)\n"
    ends = f"except KeyboardInterrupt:\n    pathlib.Path({str(tmp_path / 'ended')!r}).touch(); raise SystemExit(2)\n"
    one = lane(tmp_path, waits + ends, f"open({str(tmp_path / 'next')!r}, 'w')")
    thread = threading.Thread(target=one.run)
    thread.start()
    assert eventually((tmp_path / "runs").exists, within_s=30)
    one.stop()
    thread.join(30)
    assert one.status == 2
    assert (tmp_path / "ended").exists()
    assert not (tmp_path / "next").exists()

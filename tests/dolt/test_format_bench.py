"""The benchmark beside table formats works, with those rivals that need nothing installed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

ROOT = Path(__file__).parents[2]
JOBS = {
    "first write",
    "upsert 1 %, scattered",
    "upsert 1 %, together",
    "changed rows, scattered",
    "changed rows, together",
    "write unchanged frame",
    "read newest",
    "read first version",
    "7 more upserts; disk: 10 versions",
}


@pytest.fixture(autouse=True)
def _importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(ROOT)


@pytest.mark.slow
def test_the_quick_benchmark_measures_every_job_of_every_rival(tmp_path: Path) -> None:
    """`--quick` prints one table and writes each run; what a rival reads is compared inside."""
    file = tmp_path / "bench.json"
    argv = ["--quick", "--rivals", "ours", "raw", "parquet", "--json", str(file)]
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "benchmarks.formats", *argv],
        cwd=ROOT,
        env=os.environ | {"TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=280,
    )
    assert done.returncode == 0, done.stderr
    runs = json.loads(file.read_text())["runs"]
    of_tables = {(run["rival"], run["job"]) for run in runs if run["group"] == "2,000 rows x 5 columns"}
    assert of_tables == {(rival, job) for rival in ("this plugin", "raw Dolt", "Parquet files") for job in JOBS}
    assert {run["group"] for run in runs} == {"2,000 rows x 5 columns", "latency, 1,000 rows", "growth with branches"}
    assert all(run["cost"]["wall_s"] > 0 for run in runs)
    # Dolt works in its server, a file in this process; each first write adds to the disk.
    first = {run["rival"]: run for run in runs if run["job"] == "first write"}
    assert first["raw Dolt"]["cost"]["server_cpu_s"] > 0
    assert first["Parquet files"]["cost"]["server_cpu_s"] == 0
    assert all(run["disk_bytes"] > 0 for run in first.values())
    assert all(done.stdout.count(job) == 1 for job in JOBS)


def test_a_rival_that_loses_a_row_is_found_out() -> None:
    """Nobody wins by doing less: the frame that comes back is compared, whatever the order of its rows."""
    from benchmarks.formats.parquet import ParquetFiles
    from benchmarks.formats.runs import Runs
    from benchmarks.formats.work import Shape, compare

    class Lossy(ParquetFiles):
        name = "lossy"

        def read(self) -> pd.DataFrame:
            return super().read().iloc[1:]

    class Unordered(ParquetFiles):
        name = "unordered"

        def read(self) -> pd.DataFrame:
            return super().read().iloc[::-1]

    runs = Runs()
    compare(Shape(200, 5, 1, 1), [Unordered], runs, lambda _: None)
    assert {run.job for run in runs.runs} == JOBS
    with pytest.raises(AssertionError, match="lossy, read newest"):
        compare(Shape(200, 5, 1, 1), [Lossy], Runs(), lambda _: None)


def test_changed_rows_are_new_ones_and_those_with_other_values() -> None:
    """Rows that are gone, or as they were, are no changed rows; an upsert keeps the order of the keys."""
    from benchmarks.formats.arrow_rows import as_arrow, changed, holds_just, upserted

    before = pd.DataFrame({"id": [1, 2, 3, 4], "x": [1.0, 2.0, 3.0, 4.0]})
    rows = pd.DataFrame({"id": [0, 3], "x": [0.5, 3.5]})
    after = upserted(as_arrow(before), as_arrow(rows))
    assert after.to_pydict() == {"id": [0, 1, 2, 3, 4], "x": [0.5, 1.0, 2.0, 3.5, 4.0]}
    assert changed(as_arrow(before), after.slice(0, 4)).to_pydict() == {"id": [0, 3], "x": [0.5, 3.5]}
    assert holds_just(as_arrow(before.iloc[::-1]), before)
    assert not holds_just(after, before)
    assert not holds_just(as_arrow(before.assign(x=0.0)), before)


def test_ratios_are_taken_within_turns() -> None:
    """A busy minute falls on both; a rival that was in fewer turns is compared in those."""
    from benchmarks.formats.meters import Cost
    from benchmarks.formats.runs import Run, Runs

    runs = Runs()
    for turn, (ours, theirs) in enumerate(((2.0, 1.0), (30.0, 10.0), (8.0, None))):
        runs.runs.append(Run("g", "j", "this plugin", turn, Cost(ours, 1.0, 3.0)))
        if theirs is not None:
            runs.runs.append(Run("g", "j", "other", turn, Cost(theirs, 2.0, 0.0)))
    assert runs.ratio("g", "j", "other", "wall") == 2.5
    assert runs.ratio("g", "j", "other", "CPU") == 2.0
    assert runs.ratio("g", "j", "other", "disk") is None
    assert runs.median("g", "j", "this plugin", "wall") == 8.0
    assert runs.rivals("g", "j") == ["this plugin", "other"]


def test_a_rival_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """The message says which module is missing and how it is installed."""
    from benchmarks.formats.__main__ import main

    monkeypatch.setitem(sys.modules, "lance", None)
    monkeypatch.delitem(sys.modules, "benchmarks.formats.lance", raising=False)
    with pytest.raises(SystemExit, match=r"'lance'.*lance.*make bench"):
        main(["--quick", "--rivals", "lance"])

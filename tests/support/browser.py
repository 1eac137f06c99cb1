"""A page as a browser has it: after loading, and as a screen reader is told of it."""

from __future__ import annotations

import fcntl
import json
import os
import select
import signal
import subprocess
from pathlib import Path
from typing import Any

from deck_screenshot import BROWSER

PATIENT = "--virtual-time-budget=2000"


def seen(page: str, folder: Path) -> str:
    """Return the page as a browser has it after loading, scripts run."""
    file = folder / "page.html"
    file.write_text(f"<!doctype html><meta charset='utf-8'><title>mine</title>{page}")
    done = subprocess.run(
        [*BROWSER, PATIENT, f"--user-data-dir={folder / 'profile'}", "--dump-dom", file.as_uri()],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    return done.stdout


class Page:
    """A page in a browser that is asked over a pipe, in the words of Chrome's DevTools protocol."""

    def __init__(self, address: str, folder: Path, *, scheme: str) -> None:
        commands, self._to = os.pipe()
        self._from, answers = os.pipe()
        ends = [fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 10) for end in (commands, answers)]
        start = ["bash", "-c", f'exec "$@" 3<&{ends[0]} 4>&{ends[1]}', "bash", *BROWSER, "--remote-debugging-pipe"]
        self._program = subprocess.Popen(
            [*start, f"--user-data-dir={folder / f'profile-{scheme}'}", "about:blank"],
            pass_fds=ends,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        for end in (*ends, commands, answers):
            os.close(end)
        self._count, self._rest, self._session = 0, b"", ""
        target = self.ask("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        feature = {"name": "prefers-color-scheme", "value": scheme}
        self.ask("Emulation.setEmulatedMedia", features=[feature])
        self.ask("Page.enable")
        self.ask("Page.navigate", url=address)
        while self._next().get("method") != "Page.loadEventFired":
            pass

    def ask(self, method: str, **values: Any) -> Any:
        """Return the answer to one command."""
        self._count += 1
        session = {"sessionId": self._session} if self._session else {}
        asked = {"id": self._count, "method": method, "params": values, **session}
        os.write(self._to, json.dumps(asked).encode() + b"\0")
        while (answer := self._next()).get("id") != self._count:
            pass
        assert "result" in answer, answer
        return answer["result"]

    def run(self, script: str) -> Any:
        """Return the value of an expression of JavaScript on the page."""
        found = self.ask("Runtime.evaluate", expression=script, returnByValue=True)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def accessible(self) -> list[tuple[str, str, str]]:
        """Return role, name and description of each node that a screen reader is told of."""
        nodes = self.ask("Accessibility.getFullAXTree")["nodes"]
        parts = ("role", "name", "description")
        return [tuple(node.get(part, {}).get("value", "") for part in parts) for node in nodes if not node["ignored"]]

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self._rest:
            ready, _, _ = select.select([self._from], [], [], 120)
            more = os.read(self._from, 1 << 20) if ready else b""
            assert more, "the browser says nothing more"
            self._rest += more
        message, _, self._rest = self._rest.partition(b"\0")
        return json.loads(message)  # type: ignore[no-any-return]

    def __enter__(self) -> Page:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._to)
        os.close(self._from)
        os.killpg(self._program.pid, signal.SIGKILL)
        self._program.wait(60)

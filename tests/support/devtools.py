"""A page as a browser shows it, asked through the browser's own protocol: what is seen, and what is read out.

The protocol goes through two pipes, so that no port is opened: one message of JSON, then a zero byte.
Source: https://chromedevtools.github.io/devtools-protocol/
"""

from __future__ import annotations

import base64
import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from deck_screenshot import BROWSER

OVERLAPS = """(() => {
  const seen = [...document.querySelectorAll('svg text')].map(node => {
    const clip = node.ownerSVGElement.getBoundingClientRect(), box = node.getBoundingClientRect();
    return {words: node.textContent, root: node.ownerSVGElement.closest('figure, svg'),
      left: Math.max(clip.left, box.left), right: Math.min(clip.right, box.right), top: box.top, bottom: box.bottom,
      cut: box.left < clip.left - 1 || box.right > clip.right + 1 || box.bottom > clip.bottom + 1}});
  const found = seen.filter(a => a.cut).map(a => 'cut: ' + a.words);
  for (const a of seen) for (const b of seen)
    if (a !== b && a.root === b.root && a.left < b.right - 1 && b.left < a.right - 1 && a.top < b.bottom - 3
        && b.top < a.bottom - 3) found.push(a.words + ' / ' + b.words);
  const bars = [...document.querySelectorAll('svg rect.bar, svg rect.area')];
  for (const a of seen) for (const bar of bars) {
    const box = bar.getBoundingClientRect();
    if (box.width && a.root.contains(bar) && a.left < box.right - 1 && box.left < a.right - 1 && a.top < box.bottom - 3
        && box.top < a.bottom - 3) found.push(a.words + ' / a bar')}
  return found})()"""
"""Texts in pictures that lie on another or on a bar, or reach out of what is shown of them."""


class Page:
    """A page that a browser shows."""

    def __init__(self, to_browser: int, from_browser: int) -> None:
        self._to, self._from = to_browser, from_browser
        self._sent, self._rest = 0, b""
        self._session: str | None = None

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """Call a method of the protocol and return its answer."""
        self._sent += 1
        message = {"id": self._sent, "method": method, "params": params}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._to, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._next()
            if answer.get("id") == self._sent:
                assert "error" not in answer, answer
                found: dict[str, Any] = answer["result"]
                return found

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self._rest:
            piece = os.read(self._from, 1 << 20)
            assert piece, "the browser has gone"
            self._rest += piece
        message, _, self._rest = self._rest.partition(b"\0")
        answer: dict[str, Any] = json.loads(message)
        return answer

    def open(self, address: str, *, scheme: str, width: int) -> None:
        """Show an address to a reader who prefers ``light`` or ``dark``, in a window so many pixels wide."""
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=800, deviceScaleFactor=1, mobile=False)
        self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
        self.call("Emulation.setScrollbarsHidden", hidden=True)  # else a picture is laid out anew without them
        self.call("Page.enable")
        self.call("Page.navigate", url=address)
        while self._next().get("method") != "Page.loadEventFired":
            pass

    def end(self) -> None:
        """Have the browser end, with all that it has started."""
        self._session = None
        self.call("Browser.close")

    def value(self, script: str) -> Any:
        """Return the value of an expression on the page."""
        return self.call("Runtime.evaluate", expression=script, returnByValue=True)["result"].get("value")

    def read_out(self) -> list[tuple[str, str]]:
        """Return role and name of all that the page offers to those who do not see it."""
        nodes = self.call("Accessibility.getFullAXTree")["nodes"]
        return [
            (node["role"]["value"], str(node.get("name", {}).get("value", "")))
            for node in nodes
            if not node.get("ignored")
        ]

    def picture(self, of: str = "body", *, around: int = 0) -> bytes:
        """Return what is shown of the first element that a selector finds, and pixels around it, as a PNG file."""
        box = self.value(
            f"(() => {{const box = document.querySelector({json.dumps(of)}).getBoundingClientRect();"
            f"return {{x: box.x + scrollX - {around}, y: box.y + scrollY - {around}, width: box.width + {2 * around}, "
            f"height: box.height + {2 * around}}}}})()"
        )
        clip = {**box, "scale": 1}
        answer = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=True, clip=clip)
        return base64.b64decode(answer["data"])


@contextmanager
def shown(html: str, folder: Path, *, scheme: str = "light", width: int = 1000) -> Iterator[Page]:
    """Show a page in a browser of its own, which ends with the block."""
    file = folder / "page.html"
    file.write_text(f"<!doctype html><meta charset='utf-8'><title>mine</title><body style='margin:0'>{html}")
    (read, write), (back_read, back_write) = os.pipe(), os.pipe()
    command = [*BROWSER, "--remote-debugging-pipe", f"--user-data-dir={folder / f'profile-{scheme}-{width}'}"]
    # The browser reads from 3 and writes to 4, whatever the numbers are here.
    script = f'exec 3<&{read} 4>&{back_write}; exec "$@"'
    with subprocess.Popen(
        ["bash", "-c", script, "bash", *command], pass_fds=(read, back_write), stderr=subprocess.DEVNULL
    ) as browser:
        os.close(read)
        os.close(back_write)
        page = Page(write, back_read)
        try:
            page.open(file.as_uri(), scheme=scheme, width=width)
            yield page
            page.end()
        finally:
            browser.kill()
            os.close(write)
            os.close(back_read)

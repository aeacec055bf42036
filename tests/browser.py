"""Headless Chromium over its DevTools pipe: opens pages, evaluates scripts, gathers complaints.

Needs nothing but the browser. Its host resolver answers nothing, so the network is off.
"""

from __future__ import annotations

import json
import os
import select
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Any

FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-dev-shm-usage "
    "--disable-background-networking --disable-component-update --disable-sync --mute-audio "
    "--disable-default-apps --disable-extensions --window-size=1280,1000 --remote-debugging-pipe"
).split()


def executable() -> str | None:
    """Return the path of a Chromium, or None."""
    return unsnapped("chromium", "chromium-browser", "google-chrome")


def unsnapped(*names: str) -> str | None:
    """Return the path of the first of these programs that is no snap: those see another /tmp."""
    for path in filter(None, map(shutil.which, names)):
        with open(path, "rb") as file:
            if Path(path).resolve().name != "snap" and b"/snap/bin/" not in file.read(4096):
                return path
    return None


def end(process: subprocess.Popen) -> None:
    """End a process, by force where it does not go by itself in ten seconds."""
    process.terminate()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


class Browser:
    """One browser with one page; use it in a `with` statement."""

    def __enter__(self) -> Browser:
        self._folder = tempfile.TemporaryDirectory(prefix="chromium-", ignore_cleanup_errors=True)
        commands_out, self._write = os.pipe()
        self._read, answers_in = os.pipe()
        command = [executable(), *FLAGS, f"--user-data-dir={self._folder.name}"]
        command += ["--host-resolver-rules=MAP * ~NOTFOUND", "about:blank"]
        # Chromium reads commands at descriptor 3 and answers at 4.
        shell = f'exec "$@" 3<&{commands_out} 4>&{answers_in}'
        self._process = subprocess.Popen(
            ["bash", "-c", shell, "chromium", *command],
            pass_fds=(commands_out, answers_in),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(commands_out)
        os.close(answers_in)
        self._buffer, self._count, self._session = b"", 0, None
        self.events: list[dict] = []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        attached = self.call("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")
        return self

    def __exit__(
        self, kind: type | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._write)
        end(self._process)
        os.close(self._read)
        self._folder.cleanup()

    def call(self, method: str, timeout: float = 60, **params: Any) -> dict:
        """Send one command and return its result; events that come meanwhile are kept."""
        self._count += 1
        number = self._count
        message = {"id": number, "method": method, "params": params}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._write, json.dumps(message).encode() + b"\0")
        deadline = time.monotonic() + timeout
        while True:
            answer = self._next(deadline, method)
            if answer.get("id") == number:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']}")
                return answer["result"]
            self.events.append(answer)

    def _next(self, deadline: float, waiting_for: str) -> dict:
        while b"\0" not in self._buffer:
            ready, _, _ = select.select([self._read], [], [], max(0, deadline - time.monotonic()))
            if not ready:
                raise TimeoutError(f"Chromium did not answer {waiting_for} in time")
            chunk = os.read(self._read, 1 << 20)
            if not chunk:
                raise RuntimeError(f"Chromium ended while waiting for {waiting_for}")
            self._buffer += chunk
        message, self._buffer = self._buffer.split(b"\0", 1)
        return json.loads(message)

    def open(self, page: Path, timeout: float = 60) -> None:
        """Open a file and wait until it has loaded and its formulas are set."""
        self.events = []
        self.call("Page.navigate", url=page.resolve().as_uri())
        deadline = time.monotonic() + timeout
        while not any(e.get("method") == "Page.loadEventFired" for e in self.events):
            self.events.append(self._next(deadline, f"loading {page.name}"))
        self.run("window.MathJax && MathJax.startup ? MathJax.startup.promise.then(() => 1) : 0")
        # One turn of the event loop more, for scripts that report errors late.
        self.run("new Promise((done) => setTimeout(done, 50))")

    def run(self, script: str) -> Any:
        """Evaluate JavaScript on the page, awaiting a promise, and return its value."""
        result = self.call(
            "Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True
        )
        if "exceptionDetails" in result:
            raise RuntimeError(json.dumps(result["exceptionDetails"])[:2000])
        return result["result"].get("value")

    def screenshot(self, path: Path) -> None:
        """Save what the window shows as a PNG."""
        import base64

        data = self.call("Page.captureScreenshot", format="png")["data"]
        path.write_bytes(base64.b64decode(data))

    def complaints(self) -> list[str]:
        """Return console errors, exceptions, failed requests and requests to a network."""
        found = []
        urls = {}
        for event in self.events:
            method, params = event.get("method"), event.get("params", {})
            if method == "Network.requestWillBeSent":
                url = urls[params["requestId"]] = params["request"]["url"]
                if not url.startswith(("file:", "data:", "blob:", "about:")):
                    found.append(f"request to the network: {url}")
            elif method == "Network.loadingFailed" and not params.get("canceled"):
                url = urls.get(params["requestId"], "?")
                found.append(f"failed: {url[:200]} ({params.get('errorText')})")
            elif method == "Runtime.exceptionThrown":
                details = params["exceptionDetails"]
                text = details.get("exception", {}).get("description") or details.get("text")
                found.append(f"exception: {text}")
            elif method == "Runtime.consoleAPICalled" and params["type"] in ("error", "assert"):
                said = " ".join(str(a.get("value", a.get("description"))) for a in params["args"])
                found.append(f"console: {said}")
            elif method == "Log.entryAdded" and params["entry"]["level"] == "error":
                entry = params["entry"]
                found.append(f"log: {entry['text']} {entry.get('url', '')[:200]}")
        return found

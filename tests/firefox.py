"""Headless Firefox over its Marionette protocol: opens a page, evaluates scripts."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

import browser

SETTINGS = {
    "app.update.enabled": False,
    "datareporting.policy.dataSubmissionEnabled": False,
    "network.dns.disabled": True,
    "toolkit.telemetry.enabled": False,
}


def executable() -> str | None:
    """Return the path of a Firefox, or None."""
    return browser.unsnapped("firefox-esr", "firefox")


class Firefox:
    """One Firefox with one page; use it in a `with` statement."""

    def __enter__(self) -> Firefox:
        self._folder = tempfile.TemporaryDirectory(prefix="firefox-", ignore_cleanup_errors=True)
        # It takes a free port and writes which in a file.
        settings = SETTINGS | {"marionette.port": 0}
        lines = [f"user_pref({json.dumps(k)}, {json.dumps(v)});" for k, v in settings.items()]
        (Path(self._folder.name) / "user.js").write_text("\n".join(lines))
        command = [executable(), "--headless", "--marionette", "--no-remote", "--profile"]
        self._process = subprocess.Popen(
            [*command, self._folder.name],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "HOME": self._folder.name},
        )
        deadline, chosen = time.monotonic() + 90, Path(self._folder.name) / "MarionetteActivePort"
        while True:
            try:
                where = "127.0.0.1", int(chosen.read_text())
                self._socket = socket.create_connection(where, timeout=90)
                break
            except (OSError, ValueError):
                if self._process.poll() is not None or time.monotonic() > deadline:
                    self._process.kill()
                    raise
                time.sleep(0.2)
        self._answers, self._count = self._socket.makefile("rb"), 0
        self._read()
        self.call("WebDriver:NewSession", capabilities={"alwaysMatch": {}})
        self.call("WebDriver:SetTimeouts", script=120_000)
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()
        browser.end(self._process)
        self._folder.cleanup()

    def call(self, command: str, **params: Any) -> Any:
        """Send one command and return its result."""
        self._count += 1
        message = json.dumps([0, self._count, command, params])
        self._socket.sendall(f"{len(message.encode())}:{message}".encode())
        _, _, error, result = self._read()
        if error:
            raise RuntimeError(f"{command}: {error}")
        return result

    def _read(self) -> Any:
        length = b""
        while (sign := self._answers.read(1)) != b":":
            if not sign:
                raise RuntimeError("Firefox ended")
            length += sign
        return json.loads(self._answers.read(int(length)))

    def open(self, page: Path) -> None:
        """Open a file and wait until it has loaded."""
        self.call("WebDriver:Navigate", url=page.resolve().as_uri())
        self.run("new Promise((done) => setTimeout(done, 300))")

    def run(self, script: str) -> Any:
        """Evaluate JavaScript on the page, awaiting a promise, and return its value."""
        code = (
            "const done = arguments[arguments.length - 1];"
            f"Promise.resolve({script}).then((value) => done({{ value }}),"
            " (error) => done({ error: String(error) }));"
        )
        answer = self.call("WebDriver:ExecuteAsyncScript", script=code, args=[])["value"]
        if "error" in answer:
            raise RuntimeError(answer["error"])
        return answer["value"]

"""Time the networks in the browser: from a caption to its pictures, in headless Chromium."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import record

from sdn_lib import profiles, runs
from sdn_lib.book import try_it
from sdn_lib.profiles import ROOT
from sdn_lib.show import live

sys.path.insert(0, str(ROOT / "tests"))
import browser

GOAL = 500  # milliseconds from a key press to three pictures

TIMED = """(async () => {
  const began = performance.now(), took = {};
  for (const name of ["text", "baseline", "stage_one", "stage_two"]) await sdnLive.load(name);
  took.load = performance.now() - began;
  took.read = took.paint = Infinity;
  for (let turn = 0; turn < 10; turn++) {
    const start = performance.now();
    const { text } = await sdnLive.ask({ ask: "read", caption: "a red owl on a branch" });
    const read = performance.now() - start;
    for (const student of ["baseline", "stage_one", "stage_two"])
      await sdnLive.ask({ ask: "paint", student, text });
    took.read = Math.min(took.read, read);
    took.paint = Math.min(took.paint, performance.now() - start - read);
  }
  return took;
})()"""


def main() -> None:
    """Measure, print and keep the table."""
    if browser.executable() is None:
        print("no Chromium here: nothing is measured")
        return
    profile = profiles.load("cpu")
    with tempfile.TemporaryDirectory() as folder:
        sizes = try_it.export_networks(profile, Path(folder) / live.FOLDER)
        box = live.PaintBox(runs.painter(profile), try_it.CAPTION)
        page = Path(folder) / "index.html"
        page.write_text(f"<!doctype html><meta charset=utf-8>{box.to_html()}", encoding="utf-8")
        with browser.Browser() as window:
            window.open(page)
            took = window.run(TIMED)
    rows = [
        {"what": "files loaded, once", "ms": took["load"], "MB": sum(sizes.values()) / 1e6,
         "of the goal": ""},
        {"what": "a caption read", "ms": took["read"], "MB": "", "of the goal": ""},
        {"what": "three pictures painted", "ms": took["paint"], "MB": "", "of the goal": ""},
        {"what": "both", "ms": took["read"] + took["paint"], "MB": "",
         "of the goal": f"{(took['read'] + took['paint']) / GOAL:.2f}"},
    ]  # fmt: skip
    record.save("page", {"In the browser, 64 pixels": rows})


if __name__ == "__main__":
    main()

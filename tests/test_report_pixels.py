"""The report page in a browser: nothing is wider than the screen, and nothing is asked of the network."""

import json
import re
import shutil
import subprocess
from collections.abc import Callable
from html import escape, unescape
from pathlib import Path
from typing import Any

import pytest
from test_report import big_run, facts, lineage

from lmprog.report import Clock, Facts, render

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
QUIET = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--disable-extensions", "--mute-audio",
)  # fmt: skip
WIDTHS = (1280, 390)
"""Pixels: a laptop and a phone."""
TIMEOUT_S = 60

MEASURE = """
const measured = [];
for (const frame of document.querySelectorAll('iframe')) {
  const page = frame.contentDocument;
  for (const open of [false, true]) {
    page.querySelectorAll('details').forEach(part => { part.open = open; });
    const wide = [...page.querySelectorAll('body *')].filter(
      part => !part.closest('.scroll, svg') && part.getBoundingClientRect().right > frame.clientWidth + 0.5);
    measured.push({width: frame.clientWidth, reaches: page.scrollingElement.scrollWidth, open: open,
      height: page.scrollingElement.scrollHeight, wide: wide.slice(0, 5).map(part => part.outerHTML.slice(0, 120))});
  }
}
document.body.textContent = JSON.stringify(measured);
"""


def page_of(frames: str) -> str:
    script = f"window.addEventListener('load', () => {{ {MEASURE} }});"
    return f"<!doctype html><meta charset='utf-8'><body>{frames}<script>{script}</script></body>"


def measured(html: str, folder: Path) -> list[dict[str, Any]]:
    """Lay the page out at each width, folded and unfolded, and return how far it reaches."""
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        pytest.skip(f"no browser is installed: one of {', '.join(BROWSERS)}")
    frames = "".join(
        f'<iframe width="{width}" height="900" style="border:0" srcdoc="{escape(html)}"></iframe>' for width in WIDTHS
    )
    wrapper = folder / "wrapper.html"
    wrapper.write_text(page_of(frames), encoding="utf-8")
    command = [browser, *QUIET, f"--user-data-dir={folder / 'profile'}", "--dump-dom", wrapper.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    found = re.search(r"<body>(\[.*\])</body>", done.stdout, re.DOTALL)
    assert found, done.stderr[-500:]
    data: list[dict[str, Any]] = json.loads(unescape(found[1]))
    return data


def unbroken() -> Facts:
    """Texts without a space, as long as they come."""
    long = "Supercalifragilistic" * 20
    tried, events = lineage()
    told = [{**event, "origin": long} if event["event"] == "CandidateScored" else event for event in events]
    stage = {"event": "StageEnded", "stage": long, "facts": {long: long, "n": 3}, "requested": 30}
    return facts(tried[0], tried[-1].replace("answer", instruction=long), [*told, stage], title=long, stopped=long)


def many() -> Facts:
    """Many candidates and rows."""
    return big_run(40, 200)


@pytest.mark.parametrize("made", [many, unbroken])
def test_the_page_fits_the_screen_folded_and_unfolded(made: Callable[[], Facts], tmp_path: Path) -> None:
    found = measured(render(made(), Clock(412.3, 2663, {"task": 0.08, "proposer": 0.0031})), tmp_path)

    assert [(one["width"], one["open"]) for one in found] == [
        (width, open) for width in WIDTHS for open in (False, True)
    ]
    for one in found:
        assert one["reaches"] <= one["width"] and not one["wide"], one
        assert one["height"] > 1000  # it was laid out

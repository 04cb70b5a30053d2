"""Tests of report.html in a real headless browser: nothing is too wide, and no label is cut.

Pictures of the page are kept in the folder that TRACKPOOLS_SCREENSHOTS names.
"""

import dataclasses
import json
import os
import re
import shutil
import subprocess
from html import escape, unescape
from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imread

from trackpools import api
from trackpools.shell.measurement.release_drift import PLAYS, RECORDINGS, SCORES, USERS, Drift
from trackpools.shell.reports.release_data import StageCost
from trackpools.shell.reports.release_page import PANELS, build_report

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
BROWSER = next((found for name in NAMES if (found := shutil.which(name))), None)
pytestmark = pytest.mark.skipif(
    BROWSER is None, reason="no browser on PATH; type: apt-get install -y chromium fonts-dejavu-core"
)
WIDE, NARROW = 1280, 360

# Only a browser knows sizes, and which labels leave their picture or are drawn on each other.
MEASURE = """
function measured(page) {
  const told = {width: page.documentElement.clientWidth, needs: page.documentElement.scrollWidth, height: page.documentElement.scrollHeight, figures: {}};
  for (const figure of page.querySelectorAll('figure')) {
    const svg = figure.querySelector('svg'), box = svg.getBoundingClientRect();
    const texts = [...svg.querySelectorAll('text')].map(t => [t.textContent, t.getBoundingClientRect(), Math.abs(t.getScreenCTM().b) < 0.01]);
    const out = texts.filter(([, b]) => b.left < box.left - 1 || b.right > box.right + 1 || b.top < box.top - 1 || b.bottom > box.bottom + 1);
    const flat = texts.filter(([,, level]) => level);  // boxes of slanted labels overlap though the labels do not
    const over = [];
    for (let i = 0; i < flat.length; i++) for (let j = 0; j < i; j++) {
      const [one, a] = flat[i], [other, b] = flat[j];
      if (Math.min(a.right, b.right) - Math.max(a.left, b.left) > 2 && Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top) > 4) over.push(one + ' / ' + other);
    }
    told.figures[figure.querySelector('h3').textContent] = {
      width: box.width, height: box.height, drawn: svg.querySelectorAll('path, use, rect').length, texts: texts.length, out: out.map(([t]) => t), over: over};
  }
  return told;
}
"""


@pytest.fixture(scope="module")
def page(spark, published, tmp_path_factory):
    """Return the page of a real release, completed by what an earlier run and release would have added."""
    from flows import SMALL
    from trackpools.config.loading import load_config

    c = load_config(settings=["mlflow.enabled=false", *SMALL], root=str(published))
    data = api.report_data(c)
    data = dataclasses.replace(
        data,
        accounting={"read": 2_510, "accepted": 2_500, "rejected": 8, "duplicates": 2},
        rejected={"time_missing": 5, "user_missing": 3},
        loss=[1000.0, 420.0, 310.0, 290.0, 285.0],
        stages=[
            StageCost(name, 1000 * i, 1.5 * i + 0.3, 2.0 * i, 10**i)
            for i, name in enumerate(("ids", "train", "pools"))
        ],
        shortfalls={"rights": 4, "few_listeners": 2},
        composition=dataclasses.replace(
            data.composition,
            served={"1990s": {"rock": 0.8, "jazz": 0.1}, "2000s": {"rock": 0.3, "jazz": 0.0}},
        ),
        drift=Drift(
            "20250101T000000Z-0a1b2c3d-4e5f60",
            {PLAYS: 0.04, USERS: 0.13, RECORDINGS: 0.31, SCORES: 0.0},
            {PLAYS: 0.09, USERS: 0.02, RECORDINGS: 0.05, SCORES: 0.001},
        ),
    )
    path = tmp_path_factory.mktemp("report") / "report.html"
    path.write_text(build_report(data), encoding="utf-8")
    return path


def browse(page, *flags):
    """Return what the browser prints of a page; a profile beside it keeps other browsers apart."""
    command = [
        BROWSER,
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--hide-scrollbars",
        "--no-first-run",
        "--disable-dev-shm-usage",
    ]
    command += [f"--user-data-dir={page.parent / 'profile'}", *flags, page.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


def measure_page(page, width):
    """Return the measures of a copy of the page in a frame of this width.

    A frame is used because a window cannot be as narrow as a phone.
    """
    frame = f'<iframe srcdoc="{escape(page.read_text(encoding="utf-8"))}" style="width:{width}px;height:1000px;border:0"></iframe>'
    script = (
        MEASURE
        + "onload = () => { document.title = JSON.stringify(measured(document.querySelector('iframe').contentDocument)); };"
    )
    copy = page.with_name(f"measured-{width}.html")
    copy.write_text(
        f"<!doctype html><meta charset=utf-8><title></title><body style='margin:0'>{frame}<script>{script}</script>",
        encoding="utf-8",
    )
    dom = browse(copy, "--window-size=1400,1000", "--virtual-time-budget=5000", "--dump-dom")
    return json.loads(unescape(re.search(r"<title>(.*?)</title>", dom, re.DOTALL)[1]))


def take_picture(page, name, width, height, *flags):
    path = page.with_name(name)
    browse(page, f"--window-size={width},{height}", f"--screenshot={path}", *flags)
    if folder := os.environ.get("TRACKPOOLS_SCREENSHOTS"):
        Path(folder).mkdir(parents=True, exist_ok=True)
        shutil.copy(path, folder)
    return imread(path)


@pytest.fixture(scope="module")
def wide(page):
    return measure_page(page, WIDE)


def test_every_panel_is_laid_out(page, wide):
    assert list(wide["figures"]) == [panel.title for panel in PANELS]
    for title, figure in wide["figures"].items():
        assert figure["width"] > 300, title
        assert figure["height"] > 80, title
        assert figure["drawn"] > 3, title
        assert figure["texts"] > 2, title
    text = browse(page, "--dump-dom")
    assert all(f"<h3>{panel.title}</h3>" in text for panel in PANELS)


@pytest.mark.parametrize("width", [WIDE, 800, NARROW])
def test_nothing_is_wider_than_the_page(page, width):
    found = measure_page(page, width)
    assert found["width"] == width
    assert found["needs"] <= width


def test_no_label_is_cut_or_drawn_on_another(wide):
    assert {title: figure["out"] for title, figure in wide["figures"].items() if figure["out"]} == {}
    assert {title: figure["over"] for title, figure in wide["figures"].items() if figure["over"]} == {}


def test_the_measure_finds_planted_faults(tmp_path):
    bad = tmp_path / "bad.html"
    svg = "<svg viewBox='0 0 100 50' width=100 height=50>{}</svg>".format(
        "".join(f"<text x={x} y=20>Label</text>" for x in (10, 15, 90))
    )
    bad.write_text(
        f"<!doctype html><body><div style='width:2000px'>x</div><figure><h3>f</h3>{svg}</figure>",
        encoding="utf-8",
    )
    found = measure_page(bad, WIDE)
    assert found["needs"] > WIDE
    assert found["figures"]["f"]["out"] == ["Label"]
    assert found["figures"]["f"]["over"] == ["Label / Label"]


@pytest.mark.parametrize(
    ("name", "flags"),
    [("report-light.png", []), ("report-dark.png", ["--blink-settings=preferredColorScheme=0"])],
)
def test_the_page_is_a_picture_in_light_and_dark(page, wide, name, flags):
    height = min(wide["height"], 16_000)
    pixels = take_picture(page, name, WIDE, height, *flags)
    assert pixels.shape[:2] == (height, WIDE)
    shades = np.unique((pixels[..., :3] * 255).round().astype(np.uint8).reshape(-1, 3)[::7], axis=0)
    assert len(shades) > 50
    # The picture has the page's own background, and something is drawn down to its end.
    background = (pixels[5, 5, :3] * 255).round().astype(int).tolist()
    assert background == ([23, 23, 27] if "dark" in name else [245, 245, 247])
    assert (np.abs(pixels[-200:, :, :3] - pixels[5, 5, :3]).max(axis=(1, 2)) > 0.02).any()


def test_a_phone_gets_a_picture_too(page):
    assert take_picture(page, "report-phone.png", 500, 1000).shape[:2] == (1000, 500)

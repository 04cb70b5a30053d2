"""Tests of report.html: its numbers against a small world counted by hand, and its HTML."""

import dataclasses
import re
from html.parser import HTMLParser
from itertools import pairwise

import pytest
from matplotlib.figure import Figure

from builders import rows
from trackpools.core.evaluation.exposure import gini
from trackpools.shell.measurement.release_drift import Drift
from trackpools.shell.reports import plots
from trackpools.shell.reports.catalogue_reach import Reach, lorenz_curve
from trackpools.shell.reports.html_page import inline_svg
from trackpools.shell.reports.pool_composition import PoolComposition
from trackpools.shell.reports.release_data import ReportData, StageCost, collect_report, long_tail_curve
from trackpools.shell.reports.release_page import PANELS, build_report

EVIL = "<script>alert(1)</script> $\\frac{1}{2}$ \x07 &amp; " + "x" * 80


def full_data(text="als"):
    return ReportData(
        release_id=f"r-1 {text}",
        as_of="2026-01-01T00:00:00Z",
        k=500,
        users=1000,
        sampled_users=500,
        exposed_users=1000,
        catalogue=3000,
        coverage=0.41,
        model_version=text,
        tables=[("pools", 3, 1000, "1000:42"), (text, 0, 2, "2:7")],
        accounting={"read": 1_200_000, "accepted": 1_180_000, "rejected": 1_000, "duplicates": 19_000},
        rejected={"time_missing": 700, text: 300},
        long_tail=[(0, 0), (0.1, 0.55), (0.3, 0.8), (0.6, 0.95), (1, 1)],
        pool_sizes=[(0, 3), (375, 17), (475, 40), (500, 940)],
        shortfalls={"rights": 40, text: 20},
        drops={"heard": 1000, "below_cut": 400_000, text: 3},
        source_mix={"1–10": {text: 0.9, "popular": 0.1}, "11–50": {text: 0.7, "popular": 0.3}},
        scores=[(1, 0.01, 0.015, 0.016), (10, 0.01, 0.012, 0.014), (500, 0.001, 0.002, 0.004)],
        coverage_by_market={"DE": 0.3, text: 0.2},
        composition=PoolComposition(
            alone={text: 0.2, "als": 0.1},
            overlap={text: {text: 1.0, "als": 0.2}, "als": {text: 0.1, "als": 1.0}},
            served={"1970s": {"rock": 0.4, text: 0.0}},
            artists=[(1, 0.01, 0.02, 0.05), (5, 0.1, 0.2, 0.3)],
            popularity=[(0.725, 0.875, 30), (0.525, 0.925, 2)],
        ),
        reach=Reach(
            lorenz=[(0, 0), (0.4, 0), (0.8, 0.3), (1, 1)],
            gini=0.66,
            by_source={str(d): {text: 0.012 * d, "als": 0.2} for d in range(1, 11)},
        ),
        drift=Drift(
            since=text,
            psi={"plays a listener": 0.02, "scores in pools": 0.31, text: 0.12},
            chance={"plays a listener": 0.05, "scores in pools": 0, text: 0.2},
        ),
        coverage_by_decile={str(d): 0.4 - d / 100 for d in range(1, 11)},
        loss=[1.0, 0.6, 0.5],
        stages=[StageCost("train", 1000, 12.5, 20.0, 10_000), StageCost(text, None, 1.0)],
    )


class Page(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.tags, self.attributes = [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs


def test_the_page_needs_nothing_from_outside_and_draws_every_plot():
    text = build_report(full_data())
    page = Page(text)
    assert page.tags.count("svg") == page.tags.count("figure") == 19 == len(PANELS)
    assert not {"script", "link", "img", "iframe", "a"} & set(page.tags)
    assert "http" not in text
    assert [
        value for name, value in page.attributes if name.endswith("href") and not value.startswith("#")
    ] == []
    assert len(text) < 500_000


def test_ids_are_unique_and_references_point_to_them():
    page = Page(build_report(full_data()))
    ids = [value for name, value in page.attributes if name == "id"]
    assert len(ids) == len(set(ids))
    wanted = {value[1:] for name, value in page.attributes if name.endswith("href")}
    wanted |= {found for _, value in page.attributes for found in re.findall(r"url\(#([^)]*)\)", value or "")}
    assert wanted <= set(ids)


def test_untrusted_text_stays_text_in_page_and_plots():
    text = build_report(full_data(EVIL))
    page = Page(text)
    assert "script" not in page.tags
    assert "&lt;script&gt;" in text
    assert "\x07" not in re.sub(r"<(h1|p|td|title).*?</\1>", "", text, flags=re.DOTALL)


def test_a_page_is_the_same_bytes_each_time():
    assert build_report(full_data()) == build_report(full_data())


def test_a_run_without_data_leaves_no_empty_plot():
    text = build_report(ReportData(release_id="r", as_of="t", k=5))
    assert "<svg" not in text
    assert "Release r" in text


@pytest.mark.parametrize(
    "figure",
    [
        plots.long_tail([(0, 0), (1, 1)]),
        plots.pool_fill([(0, 1)], 5),
        plots.counts({"a": 1}, "x"),
        plots.source_mix({"1–10": {"als": 1.0}}),
        plots.scores([(1, 0.1, 0.2, 0.3)]),
        plots.coverage({"DE": 0.0}, "market"),
        plots.loss_curve([1.0]),
        plots.stage_seconds({"train": 0.0}),
        plots.shares({"als": 0.0}, "x"),
        plots.heat({"1970s": {"rock": 0.0}}, "x"),
        plots.against([(0.5, 0.5, 1)]),
        plots.lorenz([(0, 0), (1, 1)], 0.0),
        plots.drift({"scores": 0.0}, {"scores": 0.0}, 0.1, 0.25, "x"),
    ],
)
def test_each_plot_is_a_figure_that_the_notebook_can_show(figure):
    assert isinstance(figure, Figure)
    assert "<text" in inline_svg(figure, "x")


def candidate(recording, score, sources):
    return {
        "recording": recording,
        "score": score,
        "sources": sources,
        "reason": 0,
        "reason_arg": 0,
        "plays": 0,
        "last_day": 0,
        "propensity": 1.0,
    }


@pytest.fixture(scope="module")
def world(spark):
    pools = rows(
        spark,
        "pools",
        {
            "user_idx": 0,
            "bucket": 0,
            "candidates": [candidate(0, 0.9, 1), candidate(1, 0.5, 3)],
            "drops": {"heard": 2, "below_cut": 5},
        },
        {
            "user_idx": 1,
            "bucket": 1,
            "candidates": [candidate(0, 0.7, 2)],
            "drops": {"heard": 1},
            "shortfall": {"wanted": 2, "got": 1, "rule": "rights"},
        },
        {
            "user_idx": 2,
            "bucket": 2,
            "candidates": [],
            "shortfall": {"wanted": 2, "got": 0, "rule": "rights"},
        },
    )
    frames = {
        "pools": pools,
        "recording_features": rows(
            spark,
            "recording_features",
            *({"recording_idx": i, "plays": plays} for i, plays in enumerate([80, 10, 5, 5])),
        ),
        "user_features": rows(
            spark,
            "user_features",
            *(
                {"user_idx": i, "activity_decile": d, "profile": {"novelty": 0.0}}
                for i, d in enumerate([10, 1, 1])
            ),
        ),
        "user_ids": rows(spark, "user_ids", *({"user_idx": i, "user_id": f"u{i}"} for i in range(3))),
        "interactions": rows(
            spark,
            "interactions",
            {"user_idx": 0, "recording_idx": 3, "plays": 1},
            {"user_idx": 1, "recording_idx": 0, "counted": 2},
            {"user_idx": 1, "recording_idx": 3, "likes": 1},
        ),
        "track_cards": rows(
            spark,
            "track_cards",
            *(
                {"recording_idx": i, "market": "*", "popularity": p}
                for i, p in enumerate([1.0, 0.5, 0.2, 0.1])
            ),
            {"recording_idx": 0, "market": "DE", "popularity": 0.0},
        ),
        "recording_facts": rows(
            spark,
            "recording_facts",
            {"recording_idx": 0, "artist": 0, "decade": 1970, "group_name": "rock"},
            {"recording_idx": 1, "artist": 0, "decade": 1980},
        ),
        "users": rows(spark, "users", {"user_id": "u0", "market": "DE"}, {"user_id": "u1"}),
    }
    return frames.__getitem__


def test_the_numbers_of_a_small_world_are_those_counted_by_hand(world):
    data = collect_report(world, {0: "als", 1: "popular"}, release_id="r", as_of="t", k=2)
    assert (data.users, data.catalogue, data.coverage) == (3, 4, 0.5)
    assert list(data.pool_sizes) == [(0, 1), (1, 1), (2, 1)]
    assert data.shortfalls == {"rights": 2}
    assert data.drops == {"heard": 3, "below_cut": 5}
    assert data.source_mix == {"1–10": {"als": pytest.approx(0.5), "popular": pytest.approx(0.5)}}
    assert [rank for rank, *_ in data.scores] == [1, 2]
    assert data.scores[1] == (2, 0.5, 0.5, 0.5)
    # Of three places, one is by als alone and one by popular alone.
    assert data.composition.alone == {"als": pytest.approx(1 / 3), "popular": pytest.approx(1 / 3)}
    assert data.composition.overlap == {
        "als": {"als": 1.0, "popular": 0.5},
        "popular": {"als": 0.5, "popular": 1.0},
    }
    assert data.composition.served == {"1970s": {"rock": 0.0}}
    assert data.composition.artists[0] == (1, 1.0, 1.0, 1.0)
    assert data.composition.popularity == [
        (0.125, 0.775, 1),
        (0.975, 0.975, 1),
    ]  # the means are 0.1 and 0.75, and 1 and 1
    assert data.coverage_by_market == {"DE": 0.5, "unknown": 0.25}
    assert data.coverage_by_decile == {"1": 0.25, "10": 0.5}
    # Two of four recordings are in no pool, one is in one pool, and one is in two.
    assert data.reach.lorenz == [(0.0, 0.0), (0.5, 0.0), (0.75, pytest.approx(1 / 3)), (1.0, 1.0)]
    assert data.reach.gini == pytest.approx(1 - 2 * (0.25 * (1 / 6) + 0.25 * (2 / 3)))
    assert data.reach.by_source == {"1": {"als": 0.0, "popular": 0.25}, "10": {"als": 0.5, "popular": 0.25}}
    assert data.drift == Drift()
    assert build_report(dataclasses.replace(data, loss=[2.0, 1.0])).count("<svg") == 16


def test_the_long_tail_runs_from_nothing_to_everything_most_played_first(world):
    assert long_tail_curve(world("recording_features")) == [(0.0, 0.0), (0.25, 0.8), (0.5, 0.9), (1.0, 1.0)]
    assert long_tail_curve(world("recording_features").limit(0)) == []


def test_a_curve_of_many_points_is_thinned_and_its_area_is_the_gini():
    found = [(pools, 1 + 10_000 // pools) for pools in range(1, 5001)]
    catalogue = 2 * sum(n for _, n in found)
    curve = lorenz_curve(found, catalogue)
    assert 50 < len(curve) <= 203
    assert curve[0] == (0, 0)
    assert curve[1] == (0.5, 0)
    assert curve[-1] == (1, 1)
    area = sum((b[0] - a[0]) * (a[1] + b[1]) / 2 for a, b in pairwise(curve))
    assert 1 - 2 * area == pytest.approx(gini(found, catalogue), abs=0.003)
    assert lorenz_curve([], 10) == []


def test_many_users_are_sampled_and_the_page_says_so(world):
    data = collect_report(world, {0: "als", 1: "popular"}, release_id="r", as_of="t", k=2, sample_users=1)
    assert (data.users, data.sampled_users, data.exposed_users, data.coverage) == (3, 1, 3, 0.5)
    assert data.source_mix == {"1–10": {"als": 0.75, "popular": 0.25}}  # only the pool of bucket 0
    page = build_report(data)
    assert "mix, scores and groups measured on about 1 users" in page
    assert "coverage and exposure measured" not in page

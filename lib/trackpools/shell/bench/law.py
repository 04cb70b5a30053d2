"""The most that anybody could find of a synthetic world: recordings ranked by the law that listeners are made by, with its true parameters.

What is heard for the first time is drawn by chance; whoever knew a listener's genres and scenes exactly, and every recording's probability, would still
miss most of it. That recall is the ceiling that sources and blend are measured against.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from pyspark.sql import functions as F

from trackpools.core.sources.listeners import day_number
from trackpools.datasets.synthetic_catalogue import user_id
from trackpools.datasets.synthetic_facts import GROUP, MARKETS, Laws
from trackpools.shell.bench.trial import TEST_DAYS, K, Trial
from trackpools.shell.flow import Flow

WANDERS = 0.3  # share of first plays that follow no taste; recall hardly depends on it
Floats = NDArray[np.float64]


def law_recall(flow: Flow, one: Trial) -> Any:
    """recall@K of each of the trial's users, of what they have not heard and their market may play, most probable first."""
    laws = Laws(flow.config.synthetic)
    idx, barred = _tracks(flow, laws)
    size, open_ = int(idx.max()) + 1, _open(one, int(idx.max()) + 1)
    heard, truth = (_by_user(frame) for frame in (one.inputs.history.where("heard"), one.truth))
    anywhere = _anywhere(laws)
    found = np.zeros(len(one.users))
    people = {row["user_idx"]: row for row in _people(flow, laws)}
    for at, user in enumerate(one.users.tolist()):
        person, base = people[user], np.arange(len(idx)) // GROUP * GROUP
        to = idx[np.where(barred[person["market"]], base, np.arange(len(idx)))]
        chance = (1 - WANDERS) * _loved(laws, person) + WANDERS * anywhere
        score = np.where(open_[person["market"]], np.bincount(to, chance, minlength=size), -1.0)
        score[heard.get(user, np.empty(0, np.int64))] = -1.0
        top = np.argpartition(-score, min(K, size - 1))[:K]
        found[at] = np.isin(truth[user], top[score[top] > 0]).sum()
    return found / one.wanted


def _people(flow: Flow, laws: Laws) -> list[Any]:
    """Of each listener the genres loved, how much, the scenes, and the market's number."""
    user = F.col("user")
    loves = (
        flow.spark.range(laws.config.users)
        .withColumnRenamed("id", "user")
        .withColumns({"market": laws.market(user), **laws.loves(user)})
    )
    scenes = {f"s{n}": laws.scene(user, F.col(f"g{n}")) for n in (1, 2, 3)}
    told = loves.withColumns(scenes).withColumn("user_id", user_id(user))
    return told.join(flow.store.read("user_ids"), "user_id").collect()


def _tracks(flow: Flow, laws: Laws) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """The recording_idx of each track number, and [markets, tracks] whether the base of its group is heard in its place in mid of the test days."""
    t, day = F.col("t"), day_number(flow.moment.as_of.date()) + TEST_DAYS // 2
    roles = flow.spark.range(laws.config.tracks).withColumnRenamed("id", "t").withColumn("role", laws.role(t))
    new, gone = F.col("role") == "new", F.coalesce(laws.until_day(t), F.lit(laws.end_day + 1)) <= day
    bars = [
        (new & (laws.release_day(t) > day))
        | (laws.restricted(t) & ((~new & gone) | ~laws.licensed(t, F.lit(number).cast("long"))))
        for number in range(len(MARKETS))
    ]
    recording = F.regexp_replace(laws.track_id(laws.recording(t, F.col("role"))), "^t", "r").alias(
        "recording_id"
    )
    rows = roles.select("t", recording, *(bar.alias(f"b{number}") for number, bar in enumerate(bars)))
    found = rows.join(flow.store.read("recording_ids"), "recording_id").toArrow().sort_by("t")
    barred = np.stack([np.asarray(found[f"b{number}"].to_numpy(), bool) for number in range(len(MARKETS))])
    return found["recording_idx"].to_numpy().astype(np.int64), barred


def _open(one: Trial, size: int) -> NDArray[np.bool_]:
    """[markets, recordings]: what a market may play."""
    cards = (
        one.inputs.cards.where("available AND track_id IS NOT NULL")
        .select("market", "recording_idx")
        .toArrow()
    )
    market, recording = np.asarray(cards["market"].to_pylist(), object), cards["recording_idx"].to_numpy()
    made = np.zeros((len(MARKETS), size), bool)
    for number, name in enumerate(MARKETS):
        made[number, recording[market == name]] = True
    return made


def _by_user(frame: Any) -> dict[int, NDArray[np.int64]]:
    rows = frame.select("user_idx", "recording_idx").toArrow().sort_by("user_idx")
    users, starts = np.unique(rows["user_idx"].to_numpy(), return_index=True)
    return dict(
        zip(
            users.tolist(),
            np.split(rows["recording_idx"].to_numpy().astype(np.int64), starts[1:]),
            strict=True,
        )
    )


def _spread(laws: Laws, made: Floats, genre: int, layer: NDArray[np.int64], chance: Floats) -> None:
    """Add the chances of layers of a genre to those of track numbers; the last layer may be partial, see `synthetic._choose`."""
    places = np.diff(np.log(np.arange(1, GROUP + 1)), append=np.log(GROUP + 3)) / np.log(GROUP + 3)
    number = (layer[:, None] * laws.genres + genre) * GROUP + np.arange(GROUP)
    number = np.where(number < laws.config.tracks, number, number - GROUP * laws.genres * laws.scenes)
    np.add.at(made, number.ravel(), (chance[:, None] * places).ravel())


def _zipf(laws: Laws) -> Floats:
    chances: Floats = np.diff(np.log(np.arange(1, laws.layers + 2))) / np.log(laws.layers + 1)
    return chances


def _loved(laws: Laws, person: Any) -> Floats:
    made, layer, zipf = np.zeros(laws.config.tracks), np.arange(laws.layers), _zipf(laws)
    shares = np.array([1.0, person["a2"], person["a3"]])
    for n, share in enumerate(shares / shares.sum(), 1):
        _spread(laws, made, person[f"g{n}"], layer, 0.4 * share * zipf)
        _spread(
            laws, made, person[f"g{n}"], layer - layer % laws.scenes + person[f"s{n}"], 0.6 * share * zipf
        )
    return made


def _anywhere(laws: Laws) -> Floats:
    made, genres = (
        np.zeros(laws.config.tracks),
        np.diff((np.arange(laws.genres + 1) / laws.genres) ** (1 / 1.4)),
    )
    for genre, share in enumerate(genres):
        _spread(laws, made, genre, np.arange(laws.layers), share * _zipf(laws))
    return made

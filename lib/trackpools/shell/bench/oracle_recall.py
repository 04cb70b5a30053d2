"""Compute the highest recall that is possible on a synthetic world.

Recordings are ranked by the law from which the plays of users are drawn, with its true parameters. Plays are
random. So even if the genres and scenes of a user and the probability of each recording are known exactly, most
recordings that the user hears are missed. This recall is the upper limit to which the sources and the blend are
compared.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from pyspark.sql import functions as F

from trackpools.core.arrays.array_types import Float64Array
from trackpools.core.rules import eligibility
from trackpools.core.rules.market_masks import look_up
from trackpools.core.sources.user_block import day_number
from trackpools.datasets.synthetic.synthetic_catalogue import user_id
from trackpools.datasets.synthetic.synthetic_facts import GROUP, MARKETS, Laws
from trackpools.shell.bench.held_out_flow import TEST_DAYS, K, Trial
from trackpools.shell.pipeline.runner import Flow

# assumed share of plays of new recordings that are drawn without regard to the user's taste; the recall hardly
# depends on it
WANDERS = 0.3


def law_recall(flow: Flow, one: Trial) -> Any:
    """Return the recall@K of each user of the trial if recordings are ranked by their true probability.

    Recordings that the user heard, and those that the market may not play, are left out.

    Args:
        flow: The flow over the synthetic world.
        one: The trial.

    Returns:
        float64 [users of the trial].
    """
    laws = Laws(flow.config.synthetic)
    idx, barred = _tracks(flow, laws)
    size, open_ = int(idx.max()) + 1, _playable(one, int(idx.max()) + 1)
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
    """Collect the tastes of the users, one row for each user in `user_ids`.

    The columns are `user_idx, market` (the market's number), those of `Laws.loves`, and `s1, s2, s3`, the scene
    that the user prefers in each of the three genres.
    """
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
    """Return the recording of each track, and in which markets the track may not be played.

    Returns:
        `recording_idx` of each track, int64 [tracks]; and bool [markets, tracks], whether the track may not be
        played in the market in the middle of the test days. Then the first track of its group is heard instead.
    """
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


def _playable(one: Trial, size: int) -> NDArray[np.bool_]:
    """Return which recordings each market may play, bool [markets, recordings].

    Args:
        one: The trial.
        size: The largest `recording_idx` + 1.
    """
    release, everything = one.inputs.arrays(one.inputs.config, one.inputs.as_of), np.arange(size)
    bars = eligibility.BIT["taken_down"] | eligibility.BIT["rights"]
    return np.stack([look_up(release.market(name).bars, everything) & bars == 0 for name in MARKETS])


def _by_user(frame: Any) -> dict[int, NDArray[np.int64]]:
    """Collect a frame `user_idx, recording_idx` as user → int64 array of recordings."""
    rows = frame.select("user_idx", "recording_idx").toArrow().sort_by("user_idx")
    users, starts = np.unique(rows["user_idx"].to_numpy(), return_index=True)
    return dict(
        zip(
            users.tolist(),
            np.split(rows["recording_idx"].to_numpy().astype(np.int64), starts[1:]),
            strict=True,
        )
    )


def _spread(
    laws: Laws, made: Float64Array, genre: int, layer: NDArray[np.int64], chance: Float64Array
) -> None:
    """Add the probabilities of the layers of a genre to the probabilities of their tracks.

    A layer has one group of tracks of each genre; the first layers are the most popular. The last layer may be
    partial, see `synthetic_world._choose`.

    Args:
        laws: The laws of the world.
        made: The probability of each track number, float64 [tracks]; changed in place.
        genre: The number of the genre.
        layer: The numbers of the layers.
        chance: The probability of each of these layers.
    """
    places = np.diff(np.log(np.arange(1, GROUP + 1)), append=np.log(GROUP + 3)) / np.log(GROUP + 3)
    number = (layer[:, None] * laws.genres + genre) * GROUP + np.arange(GROUP)
    number = np.where(number < laws.config.tracks, number, number - GROUP * laws.genres * laws.scenes)
    np.add.at(made, number.ravel(), (chance[:, None] * places).ravel())


def _zipf(laws: Laws) -> Float64Array:
    """Return the probability of each layer by Zipf's law."""
    chances: Float64Array = np.diff(np.log(np.arange(1, laws.layers + 2))) / np.log(laws.layers + 1)
    return chances


def _loved(laws: Laws, person: Any) -> Float64Array:
    """Return the probability of each track for a play by the taste of a user (a row of `_people`)."""
    made, layer, zipf = np.zeros(laws.config.tracks), np.arange(laws.layers), _zipf(laws)
    shares = np.array([1.0, person["a2"], person["a3"]])
    for n, share in enumerate(shares / shares.sum(), 1):
        _spread(laws, made, person[f"g{n}"], layer, 0.4 * share * zipf)
        _spread(
            laws, made, person[f"g{n}"], layer - layer % laws.scenes + person[f"s{n}"], 0.6 * share * zipf
        )
    return made


def _anywhere(laws: Laws) -> Float64Array:
    """Return the probability of each track for a play that follows no taste."""
    made, genres = (
        np.zeros(laws.config.tracks),
        np.diff((np.arange(laws.genres + 1) / laws.genres) ** (1 / 1.4)),
    )
    for genre, share in enumerate(genres):
        _spread(laws, made, genre, np.arange(laws.layers), share * _zipf(laws))
    return made

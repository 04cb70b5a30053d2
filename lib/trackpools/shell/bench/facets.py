"""Benchmark of MMR, calibration and facet floors: their gain, and the recall that they cost.

It measures on the fixed world of `bench quality`. A prompt such as "calm songs of the seventies that I know"
asks for a cell: a combination of the facets decade, tempo, tag group and familiarity, of which each has a value
or is left open. A pool satisfies a cell if it holds at least 20 recordings of it. A crossing is a cell in which
all four facets have a value. Facet floors add recordings to a pool so that it satisfies more cells.
"""

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from trackpools.config import Config
from trackpools.core.arrays.array_types import Int64Array
from trackpools.core.arrays.recording_table import RecordingTable
from trackpools.core.pools.user_tastes import TagDistributions
from trackpools.shell.bench.claims import Measured, Ratio, Size
from trackpools.shell.bench.held_out_flow import Trial, trial
from trackpools.shell.bench.quality import PLAIN, frozen
from trackpools.shell.pipeline.runner import Flow
from trackpools.shell.spark.persisted import persisted

ENOUGH = 20  # recordings of a cell that satisfy it
# the tried strengths of MMR and calibration, and the tried values of pools.floor_share
MMR, CALIBRATION, SHARES = (0.02, 0.05, 0.1, 0.2), (0.5, 0.8, 0.9, 0.95), (0.1, 0.2, 0.3, 0.4)


def measure(config: Config, size: Size, rounds: int, progress: Callable[[str], None]) -> Measured:  # noqa: ARG001 - the answer is exact
    """Measure pools at several strengths of MMR, calibration and floors, and as configured.

    Returns:
        Ratios of the configured pools with floors ÷ without floors: the number of satisfied crossings, and
        recall@500 of all that was heard later. The figures are the recall and the results of `Look.at` at each
        strength.
    """
    own = config.pools
    asked, costs = Ratio("crossings satisfied, floors ÷ none", 1.5), Ratio("recall@500, floors ÷ none", 0.97)
    found = Measured([asked, costs])
    with frozen(config, size, progress) as flow, trial(flow, "mark") as one:
        look = Look.of(flow, one)

        def told(name: str, **settings: Any) -> dict[str, float]:
            progress(name)
            with persisted(one.pools(one.proposed, **(PLAIN | settings))) as pools:
                seen = {"recall@500": float(one.recall(pools).mean())} | look.at(pools)
            for what, value in seen.items():
                found.note(f"{name}: {what}", value)
            return seen

        told("plain")
        for name, values in (("mmr", MMR), ("calibration", CALIBRATION)):
            for value in values:
                told(f"{name} {value}", **{name: value})
        for share in SHARES:
            told(f"floors, {share} of the places", floor=own.floor, floor_share=share)
        set_ = {"mmr": own.mmr, "calibration": own.calibration}
        without, with_ = (
            told("as configured, no floors", **set_),
            told("as configured", floor=own.floor, **set_),
        )
        asked.values.append(with_["crossings"] / without["crossings"])
        costs.values.append(with_["recall@500"] / without["recall@500"])
    return found


@dataclass(frozen=True)
class Look:
    """The data from which the facets of pools are measured.

    Attributes:
        table: Facts of all recordings.
        heard: int64, user << 32 | recording for each heard recording of each user, ascending.
        people: int64, the `user_idx` of each user of `tastes`, ascending.
        tastes: The tag distributions of the users.
    """

    table: RecordingTable
    heard: Int64Array
    people: Int64Array
    tastes: TagDistributions

    @staticmethod
    def of(flow: Flow, one: Trial) -> "Look":
        """Read the data from the store and the histories of the trial."""
        from trackpools.core.pools.tag_distribution import tag_distributions

        table = RecordingTable.from_arrow(flow.store.read("recording_facts").toArrow().combine_chunks())
        met = (
            one.inputs.history.where("heard")
            .select("user_idx", "recording_idx", "weight")
            .toArrow()
            .sort_by([("user_idx", "ascending"), ("recording_idx", "ascending")])
        )
        user, recording = (met[name].to_numpy().astype(np.int64) for name in ("user_idx", "recording_idx"))
        people, starts = np.unique(user, return_index=True)
        return Look(
            table,
            user << 32 | recording,
            people,
            tag_distributions(np.append(starts, len(user)), recording, met["weight"].to_numpy(), table),
        )

    def at(self, pools: Any) -> dict[str, float]:
        """Return the means over pools.

        Args:
            pools: `user_idx, recording_idx`, one row for each candidate of a pool.

        Returns:
            `cells` and `crossings` (see `Look.cells`), `apart` (see `Look.apart`) and `KL to the taste` (see
            `Look.astray`).
        """
        rows = pools.toArrow().sort_by("user_idx")
        user, recording = (rows[name].to_numpy().astype(np.int64) for name in ("user_idx", "recording_idx"))
        cells, crossings = self.cells(user, recording)
        more = {"apart": self.apart(user, recording), "KL to the taste": self.astray(user, recording)}
        return {"cells": cells, "crossings": crossings} | more

    def cells(self, user: Int64Array, recording: Int64Array) -> tuple[float, float]:
        """Return the mean number of cells and the mean number of crossings that a pool satisfies.

        A recording with an unknown facet is in no cell that gives this facet a value.

        Args:
            user: The user of each candidate.
            recording: The `recording_idx` of each candidate.
        """
        pairs = user << 32 | recording
        known = self.heard[np.minimum(np.searchsorted(self.heard, pairs), len(self.heard) - 1)] == pairs
        facets = [
            getattr(self.table, name)[recording].astype(np.int64) for name in ("decade", "tempo", "group")
        ]
        total, full = 0, 0
        for used in itertools.product((False, True), repeat=4):
            values = [value for value, use in zip([*facets, known + 1], used, strict=True) if use]
            if values:
                code, there = user.copy(), np.ones(len(user), bool)
                for value in values:
                    code, there = code * 256 + value, there & (value > 0)
                full = int(
                    (np.unique(code[there], return_counts=True)[1] >= ENOUGH).sum()
                )  # the last combination uses all four facets, so after the loop `full` counts crossings
                total += full
        pools = len(np.unique(user))
        return total / pools, full / pools

    def apart(self, user: Int64Array, recording: Int64Array) -> float:
        """Return the mean distance, 1 − cosine, of a recording to the most similar one in the same pool.

        MMR should increase this distance. It is computed in every eighth pool, among recordings that have a
        sketch (a compressed vector).

        Args:
            user: The user of each candidate, ascending.
            recording: The `recording_idx` of each candidate.
        """
        told = self.table.sketch[recording].astype(float)
        norm = np.linalg.norm(told, axis=1)
        user, unit = user[norm > 0], told[norm > 0] / norm[norm > 0, None]
        starts = np.unique(user, return_index=True)[1][1:]
        far = []
        for own in np.split(unit, starts)[::8]:
            cosines = own @ own.T
            np.fill_diagonal(cosines, -1)
            far.append(1 - cosines.max(axis=1).mean())
        return float(np.mean(far))

    def astray(self, user: Int64Array, recording: Int64Array) -> float:
        """Return the mean divergence KL(tags of the user's taste ‖ tags of the pool), over users with a taste.

        The tags of the pool are smoothed as in Steck 2018.

        Args:
            user: The user of each candidate, ascending.
            recording: The `recording_idx` of each candidate.
        """
        from trackpools.core.pools.greedy_kernel import SMOOTHING

        tags, total, count = self.table.tags[recording].astype(np.int64), 0.0, 0
        parts = np.where(tags > 0, 1 / np.maximum((tags > 0).sum(axis=1, keepdims=True), 1), 0.0)
        starts = np.searchsorted(user, self.people, side="left")
        ends = np.searchsorted(user, self.people, side="right")
        for n, (start, end) in enumerate(zip(starts, ends, strict=True)):
            mine = slice(self.tastes.ends[n], self.tastes.ends[n + 1])
            tag, p = self.tastes.tag[mine], self.tastes.share[mine]
            if not len(p) or start == end:
                continue
            order = np.argsort(tag)
            at = np.minimum(np.searchsorted(tag[order], tags[start:end].ravel()), len(tag) - 1)
            mass = np.bincount(
                at, parts[start:end].ravel() * (tag[order][at] == tags[start:end].ravel()), minlength=len(tag)
            )
            q = (1 - SMOOTHING) * mass / (end - start) + SMOOTHING * p[order]
            total, count = total + float((p[order] * np.log(p[order] / q)).sum()), count + 1
        return total / max(count, 1)

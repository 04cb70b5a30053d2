"""What MMR, calibration and facet floors give, and what recall they cost: on the fixed world of `bench quality`.

A prompt such as "calm songs of the seventies that I know" asks for a cell of decade × tempo × tag group × familiarity, each of them or any, in the
listener's market. A pool satisfies a cell with 20 tracks of it. A crossing is a cell that is told in all four.
"""

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trackpools.config import Config
from trackpools.core.pools import Tastes
from trackpools.core.shelf import Shelf
from trackpools.shell.bench import Measured, Ratio, Size
from trackpools.shell.bench.quality import PLAIN, frozen
from trackpools.shell.bench.trial import Trial, trial
from trackpools.shell.flow import Flow
from trackpools.shell.kept import kept

ENOUGH = 20
MMR, CALIBRATION, SHARES = (0.02, 0.05, 0.1, 0.2), (0.5, 0.8, 0.9, 0.95), (0.1, 0.2, 0.3, 0.4)
Longs = NDArray[np.int64]


def measure(config: Config, size: Size, rounds: int, tell: Callable[[str], None]) -> Measured:  # noqa: ARG001 - the answer is exact
    """Crossings satisfied with floors ÷ without, and recall@500 of all that was heard later with ÷ without; then curves."""
    own = config.pools
    asked, costs = Ratio("crossings satisfied, floors ÷ none", 1.5), Ratio("recall@500, floors ÷ none", 0.97)
    found = Measured([asked, costs])
    with frozen(config, size, tell) as flow, trial(flow, "mark") as one:
        look = Look.of(flow, one)

        def told(name: str, **settings: Any) -> dict[str, float]:
            tell(name)
            with kept(one.pools(one.proposed, **(PLAIN | settings))) as pools:
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
    """What pools are looked at with.

    Attributes:
        heard: user << 32 | recording, ascending.
        people: user_idx, ascending, of `tastes`.
    """

    shelf: Shelf
    heard: Longs
    people: Longs
    tastes: Tastes

    @staticmethod
    def of(flow: Flow, one: Trial) -> "Look":
        from trackpools.core.tastes import tastes

        shelf = Shelf.of_table(flow.store.read("recording_facts").toArrow().combine_chunks())
        met = (
            one.inputs.history.where("heard")
            .select("user_idx", "recording_idx", "weight")
            .toArrow()
            .sort_by([("user_idx", "ascending"), ("recording_idx", "ascending")])
        )
        user, recording = (met[name].to_numpy().astype(np.int64) for name in ("user_idx", "recording_idx"))
        people, starts = np.unique(user, return_index=True)
        return Look(
            shelf,
            user << 32 | recording,
            people,
            tastes(np.append(starts, len(user)), recording, met["weight"].to_numpy(), shelf),
        )

    def at(self, pools: Any) -> dict[str, float]:
        """Means over pools: cells and crossings satisfied, distance of a recording to the nearest, KL of the listener's tags from the pool's."""
        rows = pools.toArrow().sort_by("user_idx")
        user, recording = (rows[name].to_numpy().astype(np.int64) for name in ("user_idx", "recording_idx"))
        cells, crossings = self.cells(user, recording)
        more = {"apart": self.apart(user, recording), "KL to the taste": self.astray(user, recording)}
        return {"cells": cells, "crossings": crossings} | more

    def cells(self, user: Longs, recording: Longs) -> tuple[float, float]:
        """How many cells, and crossings, hold 20 of a pool's tracks; what is unknown lies in none."""
        pairs = user << 32 | recording
        known = self.heard[np.minimum(np.searchsorted(self.heard, pairs), len(self.heard) - 1)] == pairs
        facets = [
            getattr(self.shelf, name)[recording].astype(np.int64) for name in ("decade", "tempo", "group")
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
                )  # the last is of all four
                total += full
        pools = len(np.unique(user))
        return total / pools, full / pools

    def apart(self, user: Longs, recording: Longs) -> float:
        """1 − the cosine of a recording of a pool to the one most like it, which is what MMR is about; of those with a sketch, in every eighth pool."""
        told = self.shelf.sketch[recording].astype(float)
        norm = np.linalg.norm(told, axis=1)
        user, unit = user[norm > 0], told[norm > 0] / norm[norm > 0, None]
        starts = np.unique(user, return_index=True)[1][1:]
        far = []
        for own in np.split(unit, starts)[::8]:
            cosines = own @ own.T
            np.fill_diagonal(cosines, -1)
            far.append(1 - cosines.max(axis=1).mean())
        return float(np.mean(far))

    def astray(self, user: Longs, recording: Longs) -> float:
        """KL(taste ‖ tags of the pool), smoothed as Steck 2018 does; of those with a taste."""
        from trackpools.core.choosing import SMOOTHING

        tags, total, count = self.shelf.tags[recording].astype(np.int64), 0.0, 0
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

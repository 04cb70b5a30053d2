"""The blend by the words of its documentation: one user, one recording and one choice at a time.

The code is slow and obvious, and uses NumPy for float32 only.
"""

import math
from collections import Counter, defaultdict
from itertools import product

import numpy as np

from trackpools.core.pools.build import build_pools, pool_row
from trackpools.core.rules.eligibility import RULES

ANY = 0


def build_pool(candidates, request):
    """Return the pool that the code builds from a batch of one user, as a row; it is compared with the oracle."""
    return pool_row(build_pools(candidates, request), request.k)


class World:
    """Everything that is known of one user's candidates.

    Args:
        proposals: {source: [recording, best first]}.
        met: {recording: {flags, heard, plays, last_day}}.
        shelf: The recording table; recordings left out are not in it. Each row is
            {recording: {song, artist, album, tags, decade, tempo, group, band, sketch}}.
        taste: {tag: share}; {} is a user without plays. Tag 0 stands for recordings without tags.
        masked: how many recordings the sources masked.
        withheld: {rule: how many recordings it withheld}.
        lot_chance: the probability with which the explore source proposed its recordings.
    """

    def __init__(self, proposals, met, shelf=None, taste=None, masked=0, withheld=None, lot_chance=1.0):
        self.proposals, self.met, self.shelf = proposals, met, shelf or {}
        self.taste, self.masked, self.withheld, self.lot_chance = (
            taste or {},
            masked,
            withheld or {},
            lot_chance,
        )

    def fact(self, recording, name):
        unknown = {
            "song": recording,
            "artist": recording,
            "album": recording,
            "tags": [],
            "decade": 0,
            "tempo": 0,
            "group": 0,
            "band": 0,
            "sketch": [0] * 16,
        }
        return (unknown | self.shelf.get(recording, {}))[name]


def pool_of(world, request):
    return Blend(world, request).row()


class Blend:
    def __init__(self, world, request):
        self.w, self.r = world, request
        self.drops = Counter()
        self.explore, self.slots = request.explore or (None, 0)
        self.shares = self._fuse()
        self.emitted = len(self.shares)
        alive = self._drop_versions(self._drop_flagged())
        self.line = sorted((r for r in alive if not self._explored(r)), key=lambda r: (-self.score[r], r))
        self.back = sorted((r for r in alive if self._explored(r)), key=lambda r: (self.shares[r][0][1], r))
        self.order = []

    def _fuse(self):
        shares = defaultdict(list)
        for source in sorted(self.w.proposals):
            for rank, r in enumerate(self.w.proposals[source], 1):
                weight = self.r.weights[source]
                shares[r].append(
                    (
                        source,
                        rank,
                        weight / rank if self.r.blend == "quota" else weight / (self.r.rrf_k + rank),
                    )
                )
        self.score = {}
        for r, parts in shares.items():
            total = 0.0
            for _, _, share in parts:
                total += share
            if self.r.blend == "quota":
                total = max(share for _, _, share in parts) * (1 + (len(parts) - 1) / 65536)
            self.score[r] = np.float32(total)
        return shares

    def _explored(self, r):
        return [part[0] for part in self.shares[r]] == [self.explore]

    def _drop_flagged(self):
        alive = []
        for r in self.shares:
            bound = [rule for bit, rule in enumerate(RULES) if self.w.met[r]["flags"] >> bit & 1]
            if bound:
                self.drops[bound[0]] += 1
            else:
                alive.append(r)
        return alive

    def _drop_versions(self, alive):
        songs = defaultdict(list)
        for r in alive:
            songs[self.w.fact(r, "song")].append(r)
        kept = []
        for song, versions in songs.items():

            def place(r, song=song):
                return (self._explored(r), self.r.versions == "original" and r != song, -self.score[r], r)

            best = max(self.score[r] for r in versions)
            stays = min(versions, key=place)
            self.score[stays] = best
            kept.append(stays)
            self.drops["duplicate"] += len(versions) - 1
        return kept

    # Which recordings may be chosen

    def _is_full(self, r):
        artists, albums = (
            Counter(self.w.fact(one, name) for one in self.order) for name in ("artist", "album")
        )
        return artists[self.w.fact(r, "artist")] >= self.r.artist_cap, albums[
            self.w.fact(r, "album")
        ] >= self.r.album_cap

    def _free(self, among):
        return [r for r in among if r not in self.order and not any(self._is_full(r))]

    def _gain(self, r):
        """Return by how much KL(taste ‖ tags of the pool) falls with the recording.

        The comparison is with a recording whose tags no user has.
        """
        mass = defaultdict(float)
        for one in self.order:
            for tag in self.w.fact(one, "tags") or [0]:
                mass[tag] += 1 / max(1, len(self.w.fact(one, "tags")))
        gain, tags = 0.0, self.w.fact(r, "tags")
        for tag in tags or [0]:
            if tag in self.w.taste:
                p, part = self.w.taste[tag], 1 / max(1, len(tags))
                gain += p * np.log1p(
                    (1 - 0.01) * part / ((1 - 0.01) * mass[tag] + 0.01 * p * (len(self.order) + 1))
                )
        return gain

    def _worth(self, r):
        relevance = float(self.score[r]) / float(self.score[self.line[0]])
        alike = max(
            [
                0,
                *(
                    sum(
                        a * b
                        for a, b in zip(self.w.fact(r, "sketch"), self.w.fact(one, "sketch"), strict=True)
                    )
                    for one in self.order
                ),
            ]
        )
        value = (1 - self.r.mmr) * relevance - self.r.mmr * (alike / 127.0**2)
        return (
            (1 - self.r.calibration) * value + self.r.calibration * self._gain(r)
            if self.r.calibration
            else value
        )

    def _follow(self, until):
        while len(self.order) < until and (free := self._free(self.line)):
            worth = [self._worth(r) for r in free]
            self.order.append(free[worth.index(max(worth))])  # of equal values, the first in line

    # facet floors

    def _cells(self, r):
        values = [
            self.w.fact(r, "decade"),
            self.w.fact(r, "tempo"),
            self.w.fact(r, "group"),
            2 if self.w.met[r]["heard"] else 1,
            self.w.fact(r, "band"),
        ]
        return {cell for cell in product(*((ANY, value) for value in values)) if any(cell)}

    def _complete(self, until):
        supply = Counter(
            cell for r in [*self.line, *(r for r in self.back if r in self.order)] for cell in self._cells(r)
        )
        given_up = set()
        while len(self.order) < until:
            got = Counter(cell for r in self.order for cell in self._cells(r))
            lacks = {
                cell: self.r.floor - got[cell]
                for cell, n in supply.items()
                if n >= self.r.floor and cell not in given_up and got[cell] < self.r.floor
            }
            if not lacks or min(lacks.values()) > until - len(self.order):
                return
            cell = min(lacks, key=lambda one: (lacks[one], one))

            def helps(r, lacks=lacks, got=got):
                return sum(1 + got[one] for one in self._cells(r) if one in lacks)

            fits = sorted(
                (r for r in self.line if r not in self.order and cell in self._cells(r)),
                key=helps,
                reverse=True,
            )  # stable: of equals the first in line
            for r in fits:
                if lacks[cell] == 0:
                    break
                if not any(self._is_full(r)):
                    self.order.append(r)
                    lacks[cell] -= 1
            if lacks[cell]:
                given_up.add(cell)

    # The row of the pool

    def row(self):
        k, slots = self.r.k, int(self.r.k * self.r.floor_share) if self.r.floor else 0
        while len(self.order) < min(self.slots, k) and (free := self._free(self.back)):
            self.order.append(free[0])
        explored = list(self.order)
        self._follow(max(len(explored), k - slots))
        if slots:
            self._complete(k)
        self._follow(k)
        ordinary = self.order[len(explored) :]
        while len(self.order) < k and (free := self._free(self.back)):
            self.order.append(free[0])
            explored.append(free[0])
        for r in [*self.line, *self.back]:
            if r not in self.order:
                artist, album = self._is_full(r)
                self.drops["artist_cap" if artist else "album_cap" if album else "below_cut"] += 1
        drops = {rule: n for rule, n in self.drops.items() if n}
        chance = float(np.float32(self.w.lot_chance * (len(explored) / max(1, len(self.back)))))
        pool = [self._entry(r, 1.0) for r in ordinary] + [self._entry(r, chance) for r in explored]
        self._follow(len(self.order) + math.ceil(k * self.r.reserve))
        reserve = [self._entry(r, 1.0) for r in self.order[len(pool) :]]
        return {
            "candidates": pool,
            "reserve": reserve,
            "drops": drops,
            "emitted": self.emitted,
            "shortfall": self._shortfall(len(pool), drops),
        }

    def _entry(self, r, propensity):
        met, parts = self.w.met[r], self.shares[r]
        source, rank, _ = max(parts, key=lambda part: part[2])  # max keeps the first of equal values
        heard = met["heard"] and met["plays"] > 0  # a recording known by a rating has no plays
        return {
            "recording": r,
            "score": float(self.score[r]),
            "sources": sum(1 << part[0] for part in parts),
            "reason": 2 * source + heard,
            "reason_arg": met["plays"] if heard else rank,
            "plays": met["plays"],
            "last_day": None if met["last_day"] < 0 else met["last_day"],
            "propensity": propensity,
        }

    def _shortfall(self, size, drops):
        """Return the rule that removed most, where it explains what is missing, alone or with the others."""
        taken = {rule: max(drops.get(rule, 0), self.w.withheld.get(rule, 0)) for rule in RULES[:-1]}
        taken["heard"] = max(
            taken["heard"], self.w.masked
        )  # one source may mask a recording that another proposed and the rule dropped
        short = self.r.k - size
        if short <= 0:
            return None
        return {
            "wanted": self.r.k,
            "got": size,
            "rule": max(taken, key=taken.get) if sum(taken.values()) >= short else "catalogue",
        }

"""A release opened for fills, without a JVM: pool, catalogue and listener are read, the pure functions of `fill` do the rest."""

import threading
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from trackpools.core.decode import named
from trackpools.core.known import Known
from trackpools.core.on_demand import Person, Release
from trackpools.core.past import Event, Past
from trackpools.core.sources import explore
from trackpools.core.sources.listeners import NEVER, day_number
from trackpools.errors import InputError
from trackpools.fill.compose import may_exist
from trackpools.fill.contract import Entry, FillRequest, Heard, Origin, Playlist
from trackpools.fill.filled import Clock, Filled, filled
from trackpools.fill.given import Given
from trackpools.fill.model import Model
from trackpools.fill.pack import PACKAGED, Instructions
from trackpools.fill.rights import lapsed, playable
from trackpools.fill.tracks import Flags, Listener, Tracks
from trackpools.fill.understand import Understood, understood
from trackpools.fill.world import EXPLORE, RETRIEVAL, Asker, World, allowed, seeded, unmet, world
from trackpools.shell.fill_journal import FillJournal
from trackpools.shell.serving import Opened

ORIGINS: tuple[Origin, ...] = ("pool", "retrieval", "explore")
NO_POOL: Mapping[str, Any] = {"candidates": [], "profile": None}
WINDOWS = {28: "artists_28d", 180: "artists_180d"}


@dataclass(frozen=True)
class Explained:
    """A playlist, how it came about, what it started from, what the prompt was understood as, and the time it took."""

    playlist: Playlist
    done: Filled
    given: Given
    world: World
    understood: Understood
    clock: Clock


@dataclass
class Filler:
    """Fills playlists at one release.

    Attributes:
        folder: where cards are kept as Arrow files, memory-mapped, so that processes share them.
        instructions: of models that are asked.
        journal: where playlists and what they show are kept, or None.
        today: the day, UTC: rights are looked up again when it changes.
    """

    opened: Opened
    folder: Path
    instructions: Instructions = PACKAGED
    journal: FillJournal | None = None
    today: Callable[[], date] = lambda: datetime.now(UTC).date()
    _tracks: dict[str, Tracks] = field(default_factory=dict)
    _unmet: tuple[Release | None, dict[tuple[str, bool], Flags]] = (None, {})
    _ended: tuple[date, list[dict[str, Any]]] | None = None
    _looking: threading.Thread | None = None

    def tracks(self, market: str) -> Tracks:
        """The catalogue of a market, read once."""
        if market not in self._tracks:
            path = self.folder / f"{self.opened.release_id}-{market if market != '*' else 'all'}.arrow"
            if not path.exists():
                _keep(self.opened.data("track_cards").to_table(filter=pc.field("market") == market), path)
            with pa.memory_map(str(path)) as source:
                shelf = self.opened.release.shelf
                self._tracks[market] = Tracks.of(
                    pa.ipc.open_file(source).read_all(), shelf.artist, shelf.album
                )
        return self._tracks[market]

    def fill(self, request: FillRequest, model: Model | None = None) -> Playlist:
        """A playlist; see `fill.filled`."""
        return self.explained(request, model).playlist

    def explained(self, request: FillRequest, model: Model | None = None) -> "Explained":
        """A playlist, and how it came about; where there is a journal it goes there.

        Raises:
            InputError: where the release knows no such user, or no such market.
            StoppedError: where serving is switched off.
        """
        clock = Clock()
        with clock.step("read"):
            who, tracks, known = self.who(request)
        row, config = known.pool or NO_POOL, self.opened.config
        meant = understood(
            request,
            tracks,
            model,
            config.llm,
            clock,
            year=self.opened.as_of.year,
            may_exist=lambda one: may_exist(tracks, np.flatnonzero(who.may), one, who.listener, config.fill),
        )
        wanted = meant.wanted
        with clock.step("candidates"):
            pool = np.array([one["recording"] for one in row["candidates"]], np.int64)
            explored = np.array([one["sources"] == 1 << explore.BIT for one in row["candidates"]], bool)
            found, seeds = seeded(world(who, tracks, (pool, explored), wanted), tracks, wanted.seeds, who.may)
        lot = found.candidates.rows[found.origin == EXPLORE]
        given = Given(
            tracks,
            found.candidates,
            wanted,
            who.listener,
            seeds,
            config.fill,
            config.llm,
            lot,
            self.instructions,
        )
        done = filled(given, request, model, clock)
        clean = who.person.clean or wanted.every.clean is True or wanted.prefer.clean is True
        made = Playlist(
            request_id=str(uuid.uuid4()),
            release=self.opened.release_id,
            model="none" if model is None else model.name,
            tracks=tuple(self._entries(tracks, done, found, row, clean=clean)),
            constraints=wanted,
            told=done.told,
            not_applied=meant.not_applied,
            notes=(*filter(None, (self.opened.note, known.note)), *meant.notes, *done.made.loosened),
            degraded=done.degraded,
            chosen_by_model=done.chosen_by_model,
            candidates={name: int((found.origin == code).sum()) for code, name in enumerate(ORIGINS)},
            dropped=dict(done.asked.dropped) | meant.dropped,
            tokens=done.asked.tokens + meant.tokens,
            cost=done.asked.cost + meant.cost,
            instructions="" if model is None else self.instructions.version,
            milliseconds=clock.steps,
        )
        if self.journal is not None:
            self.journal.add(made, who.person.idx, tracks.recording[done.made.rows].tolist())
        return Explained(made, done, given, found, meant, clock)

    def who(self, request: FillRequest) -> tuple[Asker, Tracks, Known]:
        """Who asks, the catalogue of the market, and what the release knows of the listener."""
        known = self.opened.known(request.user_id, pool=True)
        person = _asked_of(self.opened.person_of(known), request, self.opened)
        tracks = self.tracks(person.market)
        if request.events:
            person = replace(
                person,
                past=Past.of(
                    known.interactions, self.opened.config, self.opened.as_of, _events(request.events, tracks)
                ),
            )
        release = self.opened.release
        listener = _listener(person, (known.pool or NO_POOL)["profile"], day_number(release.as_of.date()))
        may = allowed(release, person, tracks, self._open(release, person, tracks)) & self._playable(
            tracks, person
        )
        return Asker(release, person, listener, may), tracks, known

    def _look_up(self, day: date) -> tuple[date, list[dict[str, Any]]]:
        return day, self.opened.watch.rights_ended(self.opened.as_of.date(), day)

    def _look_again(self, day: date) -> None:
        self._ended = self._look_up(day)

    def _open(self, release: Release, person: Person, tracks: Tracks) -> Flags:
        """`unmet`, kept until something is switched."""
        of, kept = self._unmet
        if of is not release:
            kept = {}
            self._unmet = release, kept
        key = person.market, person.clean
        if key not in kept:
            kept[key] = unmet(release, person.market, tracks, clean=person.clean)
        return kept[key]

    def _playable(self, tracks: Tracks, person: Person) -> Flags:
        """Rows whose rights have not ended since the release was made; on a new day those of yesterday until the catalogue is read again."""
        day = self.today()
        if self._ended is None:
            self._ended = self._look_up(day)
        of, told = self._ended
        if of != day and (self._looking is None or not self._looking.is_alive()):
            self._looking = threading.Thread(target=self._look_again, args=(day,), daemon=True)
            self._looking.start()
        gone = lapsed(told, person.market, self.opened.config.cards.market_groups, day)
        return playable(tracks.cards["track_id"], gone) & playable(
            tracks.cards["clean_track_id"], gone
        )  # which of them plays, the prompt may say

    def _entries(
        self, tracks: Tracks, done: Filled, found: World, row: Mapping[str, Any], *, clean: bool
    ) -> Iterator[Entry]:
        reasons = dict(named(self.opened.dictionary, "reason"))
        where = {int(one): place for place, one in enumerate(found.candidates.rows)}
        for place, (card, at) in enumerate(
            zip(tracks.cards.take(pa.array(done.made.rows)).to_pylist(), done.made.rows, strict=True)
        ):
            origin = int(found.origin[where[int(at)]])
            reason = "matches what you asked for"
            if origin != RETRIEVAL:
                candidate = row["candidates"][int(found.place[where[int(at)]])]
                reason = reasons.get(candidate["reason"], "").replace("{n}", str(candidate["reason_arg"]))
            yield Entry(
                track_id=(clean and card["clean_track_id"]) or card["track_id"],
                recording_id=card["recording_id"],
                title=card["title"],
                artists=tuple(card["artist_names"] or card["artist_ids"] or ()),
                seconds=None if card["duration_ms"] is None else card["duration_ms"] / 1000,
                reason=reason,
                propensity=done.chances.get(place),
                origin="explore" if place in done.chances else "retrieval" if origin == RETRIEVAL else "pool",
            )


def _events(heard: tuple[Heard, ...], tracks: Tracks) -> tuple[Event, ...]:
    """The events of tracks that the catalogue knows; what it does not know cannot be in a playlist either."""
    ids = pa.array(sorted({one.track_id for one in heard}), pa.string())
    of: dict[str, int] = {}
    for name in ("clean_track_id", "track_id"):
        column = tracks.cards[name]
        rows = np.flatnonzero(np.asarray(pc.is_in(column, ids)))
        of |= dict(zip(column.take(pa.array(rows)).to_pylist(), rows.tolist(), strict=True))
    return tuple(
        Event(int(tracks.recording[of[one.track_id]]), one.day, not one.skipped)
        for one in heard
        if one.track_id in of
    )


def _asked_of(person: Person, request: FillRequest, opened: Opened) -> Person:
    """The person in the market and under the policy of the request; a listener who wants clean tracks cannot be asked out of it."""
    market = request.market and opened.config.cards.market_groups.get(request.market, request.market)
    if market and market not in opened.release.markets:
        raise InputError(
            f"release {opened.release_id} has no market {market}; there are: {', '.join(sorted(opened.release.markets))}"
        )
    if market:
        opened.watch.off().require_on(opened.model_version, market)
    return replace(person, market=market or person.market, clean=person.clean or bool(request.clean))


def _listener(person: Person, profile: Mapping[str, Any] | None, as_of: int) -> Listener:
    past, told = person.past, profile or {}
    today = max([as_of, *past.last_day[past.last_day != NEVER].tolist()])
    top = {days: tuple(told.get(name) or ()) for days, name in WINDOWS.items()}
    return Listener(past.recording, past.plays, past.last_day, past.heard, today, top)


def _keep(cards: Any, path: Path) -> None:
    """Write an Arrow file so that others see all of it or nothing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(f".{uuid.uuid4().hex}")
    with pa.OSFile(str(draft), "wb") as sink, pa.ipc.new_file(sink, cards.schema) as writer:
        writer.write_table(cards)
    draft.replace(path)

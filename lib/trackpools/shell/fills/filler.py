"""Fill playlists from one release, without a JVM.

This module reads the pool, the catalogue and the user; the pure functions of `trackpools.fill` do the rest.
"""

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

from trackpools.core.arrays.array_types import BoolArray
from trackpools.core.pools.online import OnlineUser
from trackpools.core.pools.user_history import RecentPlay, UserHistory
from trackpools.core.proposals.release_arrays import ReleaseArrays
from trackpools.core.serving.decode import dictionary_entries
from trackpools.core.serving.user_record import UserRecord
from trackpools.core.sources import explore
from trackpools.core.sources.user_block import NO_DAY, day_number
from trackpools.errors import InputError
from trackpools.fill.contract.chat_model import LanguageModel
from trackpools.fill.contract.instructions import PACKAGED, Instructions
from trackpools.fill.contract.messages import Entry, FillRequest, Origin, Playlist, RecentEvent
from trackpools.fill.flow.fill import Clock, FillResult, fill_playlist
from trackpools.fill.flow.understand import ParsedPrompt, parse_prompt
from trackpools.fill.solver.candidates import (
    EXPLORE,
    RETRIEVAL,
    Asker,
    CandidateUniverse,
    add_seeds,
    build_universe,
    rows_allowed,
    rows_allowed_unheard,
)
from trackpools.fill.solver.catalogue import Listener, Tracks
from trackpools.fill.solver.compose import may_exist
from trackpools.fill.solver.fill_inputs import FillInputs
from trackpools.fill.solver.rights import lapsed, playable
from trackpools.shell.fills.journal import FillJournal
from trackpools.shell.resilience.atomic_file import atomic_file
from trackpools.shell.serving.loaded_release import LoadedRelease

ORIGINS: tuple[Origin, ...] = ("pool", "retrieval", "explore")  # by the codes POOL, RETRIEVAL and EXPLORE
NO_POOL: Mapping[str, Any] = {"candidates": [], "profile": None}
WINDOWS = {28: "artists_28d", 180: "artists_180d"}  # days → column of the profile with their top artists


@dataclass(frozen=True)
class ExplainedFill:
    """A playlist and how it was built.

    Attributes:
        playlist: the playlist.
        done: the result of the fill, with the verdicts on constraints and the model's choice.
        inputs: the catalogue, candidates, constraints and user from which the fill started.
        world: the candidates, and for each of them whether it is from the pool, retrieved or explored.
        understood: how the prompt was understood.
        clock: when each step began, and how long it took.
    """

    playlist: Playlist
    done: FillResult
    inputs: FillInputs
    world: CandidateUniverse
    understood: ParsedPrompt
    clock: Clock


@dataclass
class Filler:
    """Fills playlists from one release.

    Attributes:
        opened: the release.
        folder: folder of Arrow files, one for the catalogue of each market. The files are memory-mapped, so
            that processes share their memory.
        instructions: the instructions for language models.
        journal: records playlists and their tracks; None records nothing.
        today: returns the present day in UTC. If the day has changed, the rights are read again.
        _tracks: market → its catalogue.
        _unheard: the arrays of the release, and for them (market, clean) → result of `rows_allowed_unheard`.
        _ended: a day, and the rights that ended between the release and this day.
        _looking: the thread that reads the rights of a new day.
    """

    opened: LoadedRelease
    folder: Path
    instructions: Instructions = PACKAGED
    journal: FillJournal | None = None
    today: Callable[[], date] = lambda: datetime.now(UTC).date()
    _tracks: dict[str, Tracks] = field(default_factory=dict)
    _unheard: tuple[ReleaseArrays | None, dict[tuple[str, bool], BoolArray]] = (None, {})
    _ended: tuple[date, list[dict[str, Any]]] | None = None
    _looking: threading.Thread | None = None

    def tracks(self, market: str) -> Tracks:
        """Return the catalogue of a market, which is read at the first call only."""
        if market not in self._tracks:
            path = self.folder / f"{self.opened.release_id}-{market if market != '*' else 'all'}.arrow"
            if not path.exists():
                _write_cards(
                    self.opened.data("track_cards").to_table(filter=pc.field("market") == market), path
                )
            with pa.memory_map(str(path)) as source:
                table = self.opened.release.recording_table
                self._tracks[market] = Tracks.of(
                    pa.ipc.open_file(source).read_all(), table.artist, table.album
                )
        return self._tracks[market]

    def fill(self, request: FillRequest, model: LanguageModel | None = None) -> Playlist:
        """Fill a playlist; see `explain` for the errors raised."""
        return self.explain(request, model).playlist

    def explain(self, request: FillRequest, model: LanguageModel | None = None) -> "ExplainedFill":
        """Fill a playlist and add it to the journal; return it together with how it was built.

        Args:
            request: the request.
            model: the language model, or None for a fill by rules alone.

        Raises:
            InputError: if the release has no such user, or no such market.
            StoppedError: if serving is switched off.
        """
        clock = Clock()
        with clock.step("read"):
            who, tracks, known = self.resolve_user(request)
        row, config = known.pool or NO_POOL, self.opened.config
        meant = parse_prompt(
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
            found, seeds = add_seeds(
                build_universe(who, tracks, (pool, explored), wanted), tracks, wanted.seeds, who.may
            )
        lot = found.candidates.rows[found.origin == EXPLORE]
        given = FillInputs(
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
        done = fill_playlist(given, request, model, clock)
        clean = who.person.clean or wanted.every.clean is True or wanted.prefer.clean is True
        made = Playlist(
            request_id=str(uuid.uuid4()),
            release=self.opened.release_id,
            model="none" if model is None else model.name,
            tracks=tuple(self._entries(tracks, done, found, row, clean=clean)),
            constraints=wanted,
            told=done.constraint_results,
            not_applied=meant.not_applied,
            notes=(*filter(None, (self.opened.note, known.note)), *meant.notes, *done.composition.loosened),
            degraded=done.degraded,
            chosen_by_model=done.chosen_by_model,
            candidates={name: int((found.origin == code).sum()) for code, name in enumerate(ORIGINS)},
            dropped=dict(done.choice.dropped) | meant.dropped,
            tokens=done.choice.tokens + meant.tokens,
            cost=done.choice.cost + meant.cost,
            instructions="" if model is None else self.instructions.version,
            milliseconds=clock.steps,
        )
        if self.journal is not None:
            self.journal.add(made, who.person.idx, tracks.recording[done.composition.rows].tolist())
        return ExplainedFill(made, done, given, found, meant, clock)

    def resolve_user(self, request: FillRequest) -> tuple[Asker, Tracks, UserRecord]:
        """Resolve the user of a request.

        Recent events of the request count as part of the user's history.

        Returns:
            The user with the tracks that the rules allow; the catalogue of the user's market; and the user's
            record in the release.

        Raises:
            InputError: if the release has no such user, or no such market.
            StoppedError: if serving is switched off.
        """
        known = self.opened.user_record(request.user_id, pool=True)
        person = _with_request(self.opened.online_user_of(known), request, self.opened)
        tracks = self.tracks(person.market)
        if request.events:
            person = replace(
                person,
                history=UserHistory.of(
                    known.interactions, self.opened.config, self.opened.as_of, _events(request.events, tracks)
                ),
            )
        release = self.opened.release
        listener = _listener(person, (known.pool or NO_POOL)["profile"], day_number(release.as_of.date()))
        may = rows_allowed(release, person, tracks, self._allowed(release, person, tracks)) & self._playable(
            tracks, person
        )
        return Asker(release, person, listener, may), tracks, known

    def _look_up(self, day: date) -> tuple[date, list[dict[str, Any]]]:
        return day, self.opened.watch.rights_ended(self.opened.as_of.date(), day)

    def _look_again(self, day: date) -> None:
        self._ended = self._look_up(day)

    def _allowed(self, release: ReleaseArrays, person: OnlineUser, tracks: Tracks) -> BoolArray:
        """Return the result of `rows_allowed_unheard`, which is cached until the takedowns change."""
        of, kept = self._unheard
        if of is not release:
            kept = {}
            self._unheard = release, kept
        key = person.market, person.clean
        if key not in kept:
            kept[key] = rows_allowed_unheard(release, person.market, tracks, clean=person.clean)
        return kept[key]

    def _playable(self, tracks: Tracks, person: OnlineUser) -> BoolArray:
        """Return bool [len(tracks)]: whether the rights that each row has in the release still hold today.

        On a new day, a thread reads the rights again; until it is done, those of the earlier day are used.
        """
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
        )  # both must be playable, because the prompt may decide which of them is played

    def _entries(
        self,
        tracks: Tracks,
        done: FillResult,
        found: CandidateUniverse,
        row: Mapping[str, Any],
        *,
        clean: bool,
    ) -> Iterator[Entry]:
        reasons = dict(dictionary_entries(self.opened.dictionary, "reason"))
        where = {int(one): place for place, one in enumerate(found.candidates.rows)}
        for place, (card, at) in enumerate(
            zip(
                tracks.cards.take(pa.array(done.composition.rows)).to_pylist(),
                done.composition.rows,
                strict=True,
            )
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


def _events(heard: tuple[RecentEvent, ...], tracks: Tracks) -> tuple[RecentPlay, ...]:
    """Convert recent events of tracks to plays of recordings.

    Events of tracks outside the catalogue are left out, because such tracks cannot be in a playlist either.
    """
    ids = pa.array(sorted({one.track_id for one in heard}), pa.string())
    of: dict[str, int] = {}
    for name in ("clean_track_id", "track_id"):
        column = tracks.cards[name]
        rows = np.flatnonzero(np.asarray(pc.is_in(column, ids)))
        of |= dict(zip(column.take(pa.array(rows)).to_pylist(), rows.tolist(), strict=True))
    return tuple(
        RecentPlay(int(tracks.recording[of[one.track_id]]), one.day, not one.skipped)
        for one in heard
        if one.track_id in of
    )


def _with_request(person: OnlineUser, request: FillRequest, opened: LoadedRelease) -> OnlineUser:
    """Return the user with the market and the clean policy of the request.

    A request can ask for tracks without explicit words, but it cannot lift a clean policy of the user.

    Raises:
        InputError: if the release has no such market.
        StoppedError: if serving is switched off for the market of the request, for the model or for all.
    """
    market = request.market and opened.config.cards.market_groups.get(request.market, request.market)
    if market and market not in opened.release.markets:
        raise InputError(
            f"release {opened.release_id} has no market {market}; its markets are: {', '.join(sorted(opened.release.markets))}"
        )
    if market:
        opened.watch.off().raise_if_stopped(opened.model_version, market)
    return replace(person, market=market or person.market, clean=person.clean or bool(request.clean))


def _listener(person: OnlineUser, profile: Mapping[str, Any] | None, as_of: int) -> Listener:
    past, told = person.history, profile or {}
    today = max([as_of, *past.last_day[past.last_day != NO_DAY].tolist()])
    top = {days: tuple(told.get(name) or ()) for days, name in WINDOWS.items()}
    return Listener(past.recording, past.plays, past.last_day, past.heard, today, top)


def _write_cards(cards: Any, path: Path) -> None:
    """Write an Arrow file atomically: other processes see the whole file or none."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with (
        atomic_file(path) as draft,
        pa.OSFile(str(draft), "wb") as sink,
        pa.ipc.new_file(sink, cards.schema) as writer,
    ):
        writer.write_table(cards)

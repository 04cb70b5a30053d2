"""What settings are worth: the flow runs under them beside the store, up to a day, and is measured by what listeners heard for the first time after it."""

import contextlib
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from trackpools import stages
from trackpools import tables as t
from trackpools.config import Config
from trackpools.core import assemble, rules
from trackpools.core.audience import audience
from trackpools.core.metrics import hits, metric
from trackpools.core.pool_metrics import CUTS, accuracy
from trackpools.core.sources import als
from trackpools.core.sources.inputs import Scoring
from trackpools.core.sources.items import unpacked
from trackpools.errors import ConfigError, InputError
from trackpools.shell.flow import Flow, Progress
from trackpools.shell.kept import kept
from trackpools.shell.lock import local_path
from trackpools.shell.measuring import Measure, Past, means
from trackpools.shell.side import SideStore, days_before, last_moment
from trackpools.shell.tracking import Tracker

SAMPLE = ("user_idx", "half")
KINDS = ("new", "again")
PREPARED = ("ids", "daily", "taste", "interactions", "features")
OF_MODEL = ("interactions",)
OF_LISTS = ("interactions", "features", "train", "facts", "index")


@dataclass(frozen=True)
class Window:
    """Plays before `as_of` train; what is heard from there up to `until` is asked; what comes then, up to `end`, is for `promote` alone."""

    as_of: datetime
    until: datetime
    end: datetime

    @property
    def days(self) -> int:
        return (self.until - self.as_of).days


def window(store: SideStore, config: Config, until: str | None) -> Window:
    """The windows of a log.

    Raises:
        InputError: for a log that is too short for them, without plays, or without times.
        ConfigError: where pools hold nothing new, which is what is measured.
    """
    if config.pools.heard == "only":
        raise ConfigError(
            "tune maximises the recall of new recordings, and pools.heard=only leaves them out; set pools.heard to mark"
        )
    end, days = last_moment(store, until), config.holdout.days
    found = Window(days_before(end, 2 * days), days_before(end, days), end)
    first = (
        store.read(t.PLAYS.name, store.version(t.PLAYS.name))
        .agg(F.unix_micros(F.min("played_at")).alias("first"))
        .first()
    )
    assert first is not None  # noqa: S101 - an aggregate has one row
    start = datetime(1970, 1, 1, tzinfo=end.tzinfo) + timedelta(microseconds=first["first"])
    if start >= found.as_of:
        raise InputError(
            f"the log is too short: from {start:%Y-%m-%d %H:%M} to {end:%Y-%m-%d %H:%M} UTC it has {(end - start) / timedelta(days=1):.1f} days; "
            f"{days} that only promote looks at + {days} to measure on = {2 * days} days (holdout.days), and something before them to train on; "
            "import an older part of the log, or set holdout.days lower"
        )
    return found


@dataclass(frozen=True)
class Ground:
    """Where settings are tried.

    Attributes:
        config: the present settings.
        later: as `relevant.relevant`, of everybody.
        sample: the same with `half` (0 or 1), of listeners by lot who have a number and heard something new.
        users, cards: as `als.ranked` wants them; no setting that is searched for changes these.
    """

    store: SideStore
    config: Config
    window: Window
    later: DataFrame
    sample: DataFrame
    users: DataFrame
    cards: DataFrame

    @property
    def names(self) -> dict[str, str]:
        """Kind → metric of a whole pool: recall among its first 500, which are all of a smaller one."""
        return {kind: f"{kind}_{self.window.days}d_recall@{max(CUTS)}" for kind in KINDS}

    def recall_of_model(self, config: Config) -> float:
        """Mean recall of new recordings at `tune.k` in what factors alone propose, over the sample; somebody without factors has found nothing."""
        flow = _ran(self.store, config, self.window, OF_MODEL)
        with contextlib.ExitStack() as held:
            c = flow.context(stages.BY_NAME["train"], lambda frame: held.enter_context(kept(frame)))
            read = {name: self.store.read(name, version) for name, version in c.versions.items()}
            # not written: whoever tries a hundred settings reads the factors of each once
            made = stages.fit_factors(read, c)
            users, recordings = (
                held.enter_context(kept(made[table.name].select("idx", "factors")))
                for table in (t.USER_FACTORS, t.RECORDING_FACTORS)
            )
            told = rules.history(
                read["interactions"],
                heard=config.pools.heard,
                rules=config.rules,
                weights=config.weights,
                as_of=self.window.as_of,
            )
            scoring = Scoring(
                users=self.users,
                history=self._of_sample(told),
                cards=self.cards,
                user_factors=users,
                recording_factors=recordings,
                recordings=recordings.count(),
                rank=config.train.rank,
                config=config,
            )
            ranked = unpacked(als.ranked(scoring, als.BIT, config.tune.k, 0))
            found = ranked.select(
                "user_idx", F.transform("items", lambda item: item["recording"]).alias("found")
            )
            new = F.col(f"new_{self.window.days}d")
            value = _mean(
                self.sample.join(found, "user_idx", "left"),
                metric(f"recall@{config.tune.k}", hits(F.col("found"), new), F.size(new)),
            )
        self._clear_checkpoints()
        return value

    def _clear_checkpoints(self) -> None:
        """What an engine saved to go on from; on a local root only, as a flow does."""
        folder = local_path(_own_root(self.store))
        if folder is not None:
            shutil.rmtree(folder / "checkpoints", ignore_errors=True)

    @contextlib.contextmanager
    def blends(self, config: Config) -> Iterator[Callable[[Config], dict[str, float]]]:
        """Lists of all sources for the sample, made once; what is given says what pools of them are worth under other weights.

        That is `new0, new1, again0, again1`: recall of both kinds in whole pools, mean over each half of the sample.
        """
        flow = _ran(self.store, config, self.window, OF_LISTS)
        c = flow.context(stages.BY_NAME["pools"])
        inputs = stages.source_inputs(
            {name: self.store.read(name, version) for name, version in c.versions.items()}, c
        )
        inputs = replace(inputs, users=self._of_sample(inputs.users), history=self._of_sample(inputs.history))
        with kept(assemble.candidates(inputs)) as proposed:

            def worth(blended: Config) -> dict[str, float]:
                pools = assemble.pools(
                    replace(inputs, config=blended), proposed, self.window.as_of, c.model_version
                )
                rows = accuracy(pools, self.sample.drop("half"), (self.window.days,), {}).join(
                    self.sample.select(*SAMPLE), "user_idx"
                )
                row = rows.agg(
                    *(
                        F.avg(F.when(F.col("half") == half, F.col(f"`{name}`"))).alias(f"{kind}{half}")
                        for kind, name in self.names.items()
                        for half in (0, 1)
                    )
                ).first()
                assert row is not None  # noqa: S101 - an aggregate has one row
                return {key: float(value or 0.0) for key, value in row.asDict().items()}

            yield worth

    def pools(self, config: Config, tell: Progress) -> tuple[int, list[str]]:
        """Pools of everybody; returns the version of the table and what there is to warn of."""
        calm = config.model_copy(update={"candidates": config.candidates.model_copy(update={"keep": False})})
        flow = _ran(self.store, calm, self.window, [stage.name for stage in stages.STAGES], tell)
        return flow.pin((t.POOLS,))[t.POOLS.name], flow.notes.warnings

    def compared(self, versions: Mapping[str, int], level: float) -> dict[str, Measure]:
        """Recall in pools at these versions, by their names, with intervals: `new present`, `again present` and so on.

        Of two there are also `new gain` and `again gain`: what the second has more, paired by user.
        """
        rows, columns = self.later.select("user_idx"), []
        for who, version in versions.items():
            found = accuracy(self.store.read(t.POOLS.name, version), self.later, (self.window.days,), {})
            rows = rows.join(
                found.select(
                    "user_idx",
                    *(F.col(f"`{name}`").alias(f"{kind} {who}") for kind, name in self.names.items()),
                ),
                "user_idx",
            )
            columns += [f"{kind} {who}" for kind in KINDS]
        if len(versions) == 2:
            present, best = versions
            rows = rows.withColumns(
                {f"{kind} gain": F.col(f"`{kind} {best}`") - F.col(f"`{kind} {present}`") for kind in KINDS}
            )
            columns += [f"{kind} gain" for kind in KINDS]
        return {one.metric: one for one in means(rows, columns, level=level)}

    def _of_sample(self, rows: DataFrame) -> DataFrame:
        return rows.join(F.broadcast(self.sample.select("user_idx")), "user_idx", "left_semi")


@contextlib.contextmanager
def prepared(store: SideStore, config: Config, window: Window, tell: Progress) -> Iterator[Ground]:
    """The ground: the stages before training are done, under the present settings, and what is asked is held.

    Raises:
        InputError: where nobody whom the log knew heard anything new.
    """
    flow, days = _ran(store, config, window, PREPARED, tell), window.days
    versions = flow.pin((t.TRACKS, t.USERS, t.USER_IDS, t.RECORDING_IDS, t.INTERACTIONS, t.TRACK_CARDS))
    past = Past(lambda name: store.read(name, versions[name]), window.as_of, config, (days,))
    # the filter stands here too: nothing from the days that promote looks at may reach a search, whatever is done with the rows
    plays = store.read(t.PLAYS.name, store.version(t.PLAYS.name)).where(
        F.col("played_at") < F.lit(window.until)
    )
    tell("asked: what was heard later")
    with kept(past.later(plays)) as later:
        known = later.where((F.col("user_idx") >= 0) & (F.size(f"new_{days}d") > 0))
        half = F.pmod(F.xxhash64("user_idx", F.lit("half")), F.lit(2)).alias("half")
        lot = known.orderBy(F.xxhash64("user_idx"), "user_idx").limit(config.tune.users)
        with kept(lot.select("*", half)) as sample:
            if not sample.count():
                raise InputError(
                    f"nobody whom the log knew before {window.as_of:%Y-%m-%d %H:%M} UTC chose and heard anything new in the {days} days (holdout.days) "
                    "after it; set holdout.days higher, or look at another part of the log: --until"
                )
            everybody = audience(
                past.read("user_ids"),
                past.read("users"),
                config.cards.market_groups,
                config.taste.minor_bands,
            )
            users = everybody.join(F.broadcast(sample.select("user_idx")), "user_idx", "left_semi")
            yield Ground(store, config, window, later, sample, users, past.read("track_cards"))


def _ran(
    store: SideStore, config: Config, window: Window, names: Sequence[str], tell: Progress = lambda _: None
) -> Flow:
    """A flow under a configuration, after these stages; what is unchanged is skipped."""
    untracked = Tracker(config.mlflow.model_copy(update={"enabled": False}), None, "tune", "tune")
    # a run beside this one keeps checkpoints at the root, and a flow clears those of its root
    config = config.model_copy(update={"store": config.store.model_copy(update={"root": _own_root(store)})})
    flow = Flow(config, store.spark, untracked, as_of=window.as_of.isoformat(), progress=tell, beside=store)
    for name in names:
        flow.run(stages.BY_NAME[name])
    return flow


def _own_root(store: SideStore) -> str | None:
    return store.config.root and f"{store.config.root.rstrip('/')}/{store.name}"


def _mean(rows: DataFrame, value: Column) -> float:
    row = rows.agg(F.avg(value).alias("mean")).first()
    assert row is not None  # noqa: S101 - an aggregate has one row
    return float(row["mean"] or 0.0)

"""The whole product as plain functions, for notebooks and other programs: `trackpools run` and its kin without a shell.

They work in the active Spark session, set no configuration on it, and raise `TrackpoolsError` where a command would print.
"""

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from trackpools import stages as s
from trackpools.config import Config
from trackpools.core import checks
from trackpools.core.decode import named
from trackpools.core.verdict import Gate
from trackpools.shell import look, promoting, reporting, work
from trackpools.shell import releases as r
from trackpools.shell import runs as tracked
from trackpools.shell.command import Answer, Options
from trackpools.shell.explaining import Explained
from trackpools.shell.measuring import Measure
from trackpools.shell.promoting import Verdict
from trackpools.shell.releases import Release
from trackpools.shell.report_data import ReportData
from trackpools.shell.report_drift import Drift, Older, drift_of
from trackpools.shell.runs import Run
from trackpools.shell.session import spark_session
from trackpools.shell.settings import load_config
from trackpools.shell.store import Store
from trackpools.tables import RELEASES

LOG = logging.getLogger(__name__)
QUIET = Options(quiet=True)


@dataclass(frozen=True)
class OnePool:
    """A pool, and where it comes from.

    Attributes:
        candidates: best first: rank, track_id, title, artists, original_year, score, sources, reason, because, plays, last_day …
        facets: decade, tempo, kind, familiarity and popularity → value → candidates.
        drops: removed candidates by rule; with the candidates they are `emitted`.
        listener: plays, recordings, and the profile of artists and tags.
    """

    candidates: list[dict[str, Any]]
    facets: dict[str, dict[str, int]]
    drops: dict[str, int]
    emitted: int
    listener: dict[str, Any]


def open_config(
    settings: Mapping[str, Any] | str | None = None,
    *,
    root: str | None = None,
    overlay: str | None = None,
    catalog: str | None = None,
    schema: str | None = None,
) -> Config:
    """The merged configuration.

    Args:
        settings: `{"section.key": value}`, or text such as `train.rank=32; pools.k=200`; applied last. None leaves a key as it is.
        root: folder of the tables; then catalog and schema say nothing.
        overlay: local, cluster, databricks, s3a, or a YAML file; databricks where none is named and there is a catalog.
        catalog, schema: of the tables and of the registered model, as widgets give them.

    Raises:
        ConfigError: with every problem.
    """
    place: dict[str, Any] = {}
    if not root and catalog and schema:
        place = {
            "store.catalog": catalog,
            "store.schema": schema,
            "mlflow.model_name": f"{catalog}.{schema}.trackpools",
        }
        overlay = overlay or "databricks"
    given = (
        [one.strip() for one in settings.split(";") if one.strip()]
        if isinstance(settings, str)
        else _texts(settings or {})
    )
    return load_config(overlay or None, [*_texts(place), *given], root or None)


def _texts(settings: Mapping[str, Any]) -> list[str]:
    return [
        f"{key}={json.dumps(value)}" for key, value in settings.items() if value is not None
    ]  # JSON is YAML


def open_store(config: Config) -> Store:
    """The tables of a configuration."""
    return Store(_session(config), config.store)


def _session(config: Config) -> SparkSession:
    return spark_session(config.session)


def _warned(answer: Answer) -> Answer:
    for warning in answer.warnings:
        LOG.warning(warning)
    return answer


def import_log(
    config: Config, name: str = "synthetic", path: str | None = None, user_vectors: str | None = None
) -> dict[str, Any]:
    """Read a log into `plays`, or vectors into `vectors`; the same one twice changes nothing.

    Returns:
        read, accepted, rejected, duplicates, and reasons (reason → refused rows).
    """
    return _warned(work.import_log(config, QUIET, name, path, user_vectors)).more


def run(config: Config, *, as_of: str | None = None, known_as_of: str | None = None) -> Release:
    """Every stage in order, then publish; what is unchanged is skipped.

    Returns:
        The release in force: this run's, or the one before where nothing has changed.
    """
    answer = _warned(
        work.run_stages(config, QUIET, "run", s.STAGES, publish=True, as_of=as_of, known_as_of=known_as_of)
    )
    return next(release for release in releases(config) if release.release_id == answer.release_id)


def challenge(config: Config, *, as_of: str) -> dict[str, float]:
    """Factors and pools by these settings as of a moment, not published: the challenger of `promote`.

    Returns:
        Seconds by stage; 0 for one that had nothing to do.
    """
    chosen = [s.BY_NAME[name] for name in ("train", "facts", "index", "pools")]
    answer = _warned(
        work.run_stages(config, QUIET, "pools", chosen, publish=False, as_of=as_of, known_as_of=None)
    )
    return {stage["stage"]: 0.0 if stage["skipped"] else stage["seconds"] for stage in answer.more["stages"]}


def promote(config: Config) -> Verdict:
    """The pools in the store against the release in force: published where every gate holds, else left where they are.

    Returns:
        Gates and measures; `passed` says whether it was published. No gates where the pools in the store are those in force.
    """
    try:
        answer = _warned(work.promote(config, QUIET))
    except promoting.Refused as refused:
        return refused.verdict
    gates, measures = (
        [Gate(**one) for one in answer.more.get("gates", [])],
        [Measure(**one) for one in answer.more.get("measures", [])],
    )
    return Verdict(gates, measures, answer.warnings)


def runs(config: Config) -> list[Run]:
    """Tracked commands, latest first: what they were told and what was measured; see `shell.runs`."""
    return tracked.runs(config.mlflow, config.store.root)


def overlap(config: Config, old: Release, new: Release) -> float:
    """Mean share of a listener's pool in one release that is in the other's too, 0 to 1."""
    store = open_store(config)
    row = checks.overlap(*(r.released(store, release, "pools") for release in (old, new))).first()
    return float(row["overlap"] or 0.0) if row else 0.0


def source_shares(config: Config, release: Release) -> dict[str, float]:
    """Source → share of all candidates in pools that it proposed, alone or with others; every source that the release knows."""
    store = open_store(config)
    found = r.released(store, release, "pools").select(F.explode("candidates.sources").alias("sources"))
    bits = dict(named(release.dictionary, "source"))
    row = found.agg(
        *(F.avg(F.getbit("sources", F.lit(bit))).alias(name) for bit, name in bits.items())
    ).first()
    return {name: float(row[name] or 0.0) if row else 0.0 for name in bits.values()}


def drift(config: Config, old: Release, new: Release) -> Drift:
    """How listeners, recordings and scores are spread otherwise in `new`; empty where `old` can no longer be read."""
    store = open_store(config)
    return drift_of(lambda name: r.view(store, new, name), Older.of(store, old), F.lit(True))


def releases(config: Config) -> list[Release]:
    """Published releases, latest first."""
    return r.releases(open_store(config))


def releases_table(config: Config) -> DataFrame:
    """One row a published release, latest first, without the pinned tables' details: for `display`."""
    return (
        open_store(config)
        .read(RELEASES.name)
        .select("seq", "release_id", "as_of", "created_at", "valid_until", "model_version")
        .orderBy(F.desc("seq"))
    )


def read(config: Config, name: str, release: Release | None = None) -> DataFrame:
    """A table as a release (None: the one in force) pins it.

    Raises:
        InputError: where nothing is published or the release does not hold the table.
        ContractError: where the table is no longer what was released.
    """
    store = open_store(config)
    return r.released(store, release or r.latest(store), name)


def pools_long(config: Config, release: Release | None = None, users: Sequence[str] = ()) -> DataFrame:
    """Decoded pools, one row a user × rank: track, title, score, names of the sources, reason as a sentence.

    Args:
        users: only theirs; none is everybody, so aggregate or write it and do not collect it.
    """
    store = open_store(config)
    release = release or r.latest(store)
    ids = r.released(store, release, "user_ids")
    return look.decoded(
        store, release, config, ids.where(F.col("user_id").isin(list(users))) if users else ids
    )


def pools_audit(config: Config, release: Release | None = None) -> DataFrame:
    """Of the users of the audit sample everything that was proposed: by which source at which rank, and what became of it; see `core.decode`."""
    store = open_store(config)
    return look.audited(store, release or r.latest(store), config)


def one_pool(config: Config, user: str, release: Release | None = None) -> OnePool:
    """One listener's pool, looked at closely.

    Raises:
        InputError: where the release (None: the one in force) has no pool of the user that may be served.
    """
    store = open_store(config)
    release = release or r.latest(store)
    pool = look.show_pools(store, release, config, (user,), 1)[0]
    explained = Explained(store, release, config, user)
    because = [reason or "" for reason in explained.because()]
    candidates = [one | {"because": why} for one, why in zip(pool["candidates"], because, strict=True)]
    return OnePool(
        candidates,
        explained.by_facet(),
        pool["drops"],
        pool["emitted"],
        look.profile_of(store, release, user),
    )


def report_data(config: Config, release: Release | None = None) -> ReportData:
    """The small aggregates that the plots of `trackpools.shell.plots` draw."""
    store = open_store(config)
    return reporting.release_data(store, release or r.latest(store), config.pools.k)

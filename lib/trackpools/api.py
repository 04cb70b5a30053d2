"""The commands of trackpools as plain functions, for notebooks and other programs.

The functions work in the active Spark session, or build a local one if none is active. They do not change the
configuration of a session that trackpools did not build. Where a command would print an error, they raise
`TrackpoolsError`.
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
from trackpools.config.loading import load_config
from trackpools.core.contracts import table_checks
from trackpools.core.evaluation.promotion_gates import Gate
from trackpools.core.serving.decode import dictionary_entries
from trackpools.shell.command import CommandResult, Options
from trackpools.shell.commands import pipeline
from trackpools.shell.measurement.pool_measures import Measure
from trackpools.shell.measurement.release_drift import Drift, Older, drift_of
from trackpools.shell.promotion import gated_promotion
from trackpools.shell.promotion.gated_promotion import Verdict
from trackpools.shell.releases import releases as r
from trackpools.shell.releases import show_pools
from trackpools.shell.releases.explain_pool import PoolExplanation
from trackpools.shell.releases.releases import Release
from trackpools.shell.reports import publish_report
from trackpools.shell.reports.release_data import ReportData
from trackpools.shell.spark.session import spark_session
from trackpools.shell.store.store import Store
from trackpools.shell.tracking import runs as tracked
from trackpools.shell.tracking.runs import Run
from trackpools.tables import RELEASES

LOG = logging.getLogger(__name__)
QUIET = Options(quiet=True)


@dataclass(frozen=True)
class OnePool:
    """The pool of one user, and an explanation of it.

    Attributes:
        candidates: the candidates, best first, with the keys rank, track_id, title, artists, original_year,
            score, sources, reason, because, plays, last_day …
        facets: facet (decade, tempo, kind, familiarity or popularity) → value → number of candidates.
        drops: rule → number of candidates that it dropped.
        emitted: the number of all candidates: those of the pool and those that were dropped.
        listener: the user's row of `user_features`, such as the numbers of plays and recordings, and the
            profile of artists and tags; empty if the user has no plays.
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
    """Load the defaults, merge an overlay and settings into them, and validate the result.

    Args:
        settings: `{"section.key": value}`, or a text such as `train.rank=32; pools.k=200`. Settings are
            applied last. The value None leaves a key as it is.
        root: the folder of the tables; if it is given, `catalog` and `schema` have no effect.
        overlay: `local`, `cluster`, `databricks`, `s3a`, or the path of a YAML file. The default is
            `databricks` if a catalog and a schema are given and no root is; otherwise there is no overlay.
        catalog: the catalog of the tables and of the registered model. An empty text, which the widget of a
            notebook may return, is the same as None.
        schema: the schema of the tables and of the registered model; an empty text is the same as None.

    Returns:
        The merged configuration.

    Raises:
        ConfigError: if anything in the configuration is wrong; it lists every problem.
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
    ]  # values are parsed as YAML, and JSON is valid YAML


def open_store(config: Config) -> Store:
    """Open the tables that a configuration names, in the active Spark session."""
    return Store(_session(config), config.store)


def _session(config: Config) -> SparkSession:
    return spark_session(config.session)


def _log_warnings(answer: CommandResult) -> CommandResult:
    for warning in answer.warnings:
        LOG.warning(warning)
    return answer


def import_log(
    config: Config, name: str = "synthetic", path: str | None = None, user_vectors: str | None = None
) -> dict[str, Any]:
    """Import files into the tables of a store: a log of plays, a catalogue, profiles, signals or vectors.

    Importing the same input twice changes nothing. Warnings are logged.

    Args:
        config: the merged configuration.
        name: the name of an importer: a key of `datasets.IMPORTERS`, `synthetic`, `vectors` or
            `text-vectors`.
        path: the file or folder to read; `synthetic` needs none.
        user_vectors: the file of user vectors; only with the importer `vectors`.

    Returns:
        For a log: the numbers of rows `read`, `accepted`, `rejected` and `duplicates`, `reasons` (reason →
        number of refused rows) and `written` (table → number of new or changed rows). For vectors: the
        numbers `tracks` and `users`, and `reasons` (reason → number of vectors that were left out).
    """
    return _log_warnings(pipeline.import_log(config, QUIET, name, path, user_vectors)).more


def run(config: Config, *, as_of: str | None = None, known_as_of: str | None = None) -> Release:
    """Run every stage in order, then publish a release.

    Stages whose inputs are unchanged are skipped. Warnings are logged.

    Args:
        config: the merged configuration.
        as_of: only plays before this moment count; ISO 8601. None is the default of `trackpools run`.
        known_as_of: only plays received before this moment count; ISO 8601. None is the default of
            `trackpools run`.

    Returns:
        The release in force: that of this run, or the one before if nothing has changed.
    """
    answer = _log_warnings(
        pipeline.run_stages(
            config, QUIET, "run", s.STAGES, publish=True, as_of=as_of, known_as_of=known_as_of
        )
    )
    return next(release for release in releases(config) if release.release_id == answer.release_id)


def challenge(config: Config, *, as_of: str) -> dict[str, float]:
    """Train factors and compute pools without publishing them; `promote` then judges this challenger.

    It runs the stages train, facts, index and pools; those whose inputs are unchanged are skipped. Warnings
    are logged.

    Args:
        config: the merged configuration, with the settings of the challenger.
        as_of: only plays before this moment count; ISO 8601.

    Returns:
        Stage → seconds; 0 for a stage that had nothing to do.
    """
    chosen = [s.BY_NAME[name] for name in ("train", "facts", "index", "pools")]
    answer = _log_warnings(
        pipeline.run_stages(config, QUIET, "pools", chosen, publish=False, as_of=as_of, known_as_of=None)
    )
    return {stage["stage"]: 0.0 if stage["skipped"] else stage["seconds"] for stage in answer.more["stages"]}


def promote(config: Config) -> Verdict:
    """Compare the pools in the store with the release in force; publish these pools if every gate passes.

    If a gate does not pass, the pools stay in the store unpublished.

    Returns:
        The gates and measures; `passed` says whether the pools were published. There are no gates if the
        pools in the store are those in force.
    """
    try:
        answer = _log_warnings(pipeline.promote(config, QUIET))
    except gated_promotion.Refused as refused:
        return refused.verdict
    gates, measures = (
        [Gate(**one) for one in answer.more.get("gates", [])],
        [Measure(**one) for one in answer.more.get("measures", [])],
    )
    return Verdict(gates, measures, answer.warnings)


def runs(config: Config) -> list[Run]:
    """Return the tracked runs with their settings and measures, latest first; see `shell.tracking.runs`."""
    return tracked.runs(config.mlflow, config.store.root)


def overlap(config: Config, old: Release, new: Release) -> float:
    """Return which share (0 to 1) of a user's pool in `old` is in the pool in `new` too; mean over users."""
    store = open_store(config)
    row = table_checks.overlap(*(r.read_pinned(store, release, "pools") for release in (old, new))).first()
    return float(row["overlap"] or 0.0) if row else 0.0


def source_shares(config: Config, release: Release) -> dict[str, float]:
    """Return, for each source, which share of all candidates in the pools of a release it proposed.

    Returns:
        Name of the source → share from 0 to 1. A candidate that several sources proposed counts for each of
        them, so the shares may add up to more than 1.
    """
    store = open_store(config)
    found = r.read_pinned(store, release, "pools").select(F.explode("candidates.sources").alias("sources"))
    bits = dict(dictionary_entries(release.dictionary, "source"))
    row = found.agg(
        *(F.avg(F.getbit("sources", F.lit(bit))).alias(name) for bit, name in bits.items())
    ).first()
    return {name: float(row[name] or 0.0) if row else 0.0 for name in bits.values()}


def drift(config: Config, old: Release, new: Release) -> Drift:
    """Measure how the distributions of users, recordings and scores changed from one release to another.

    Args:
        config: the merged configuration.
        old: the release to compare with; if its tables can no longer be read, the result is empty.
        new: the release whose change is measured.
    """
    store = open_store(config)
    return drift_of(lambda name: r.read_pinned(store, new, name), Older.of(store, old), F.lit(True))


def releases(config: Config) -> list[Release]:
    """Return the published releases, latest first."""
    return r.releases(open_store(config))


def releases_table(config: Config) -> DataFrame:
    """Return one row for each published release, latest first, for `display` in a notebook.

    Returns:
        `seq, release_id, as_of, created_at, valid_until, model_version`, without details of pinned tables.
    """
    return (
        open_store(config)
        .read(RELEASES.name)
        .select("seq", "release_id", "as_of", "created_at", "valid_until", "model_version")
        .orderBy(F.desc("seq"))
    )


def read(config: Config, name: str, release: Release | None = None) -> DataFrame:
    """Read a table at the version that a release pins.

    Args:
        config: the merged configuration.
        name: the name of the table.
        release: the release; None is the release in force.

    Raises:
        InputError: if nothing is published, the release does not pin the table, or the pinned version no
            longer exists.
        ContractError: if the table is no longer as the release published it.
    """
    store = open_store(config)
    return r.read_pinned(store, release or r.latest(store), name)


def pools_long(config: Config, release: Release | None = None, users: Sequence[str] = ()) -> DataFrame:
    """Return decoded pools: one row for each user × rank, with sources by name and reasons as sentences.

    Candidates that are switched off now are left out.

    Args:
        config: the merged configuration.
        release: the release; None is the release in force.
        users: the `user_id`s whose pools are returned. Without any, the pools of all users are returned: then
            aggregate or write the frame, and do not collect it.

    Returns:
        The columns of `core.serving.decode.pools_long`.
    """
    store = open_store(config)
    release = release or r.latest(store)
    ids = r.read_pinned(store, release, "user_ids")
    return show_pools.decode_pools(
        store, release, config, ids.where(F.col("user_id").isin(list(users))) if users else ids
    )


def pools_audit(config: Config, release: Release | None = None) -> DataFrame:
    """Return every proposal to the users of the audit sample, with its place or the rule that barred it.

    Args:
        config: the merged configuration.
        release: the release; None is the release in force.

    Returns:
        One row for each user × recording × source, with the columns of `core.serving.decode.pools_audit`.
    """
    store = open_store(config)
    return show_pools.decode_audit(store, release or r.latest(store), config)


def one_pool(config: Config, user: str, release: Release | None = None) -> OnePool:
    """Return the pool of one user with an explanation of each candidate.

    Args:
        config: the merged configuration.
        user: the `user_id`.
        release: the release; None is the release in force.

    Raises:
        InputError: if the release has no pool of the user that may be served.
    """
    store = open_store(config)
    release = release or r.latest(store)
    pool = show_pools.show_pools(store, release, config, (user,), 1)[0]
    explained = PoolExplanation(store, release, config, user)
    because = [reason or "" for reason in explained.because()]
    candidates = [one | {"because": why} for one, why in zip(pool["candidates"], because, strict=True)]
    return OnePool(
        candidates,
        explained.by_facet(),
        pool["drops"],
        pool["emitted"],
        show_pools.profile_of(store, release, user),
    )


def report_data(config: Config, release: Release | None = None) -> ReportData:
    """Compute the small aggregates that the plots of `trackpools.shell.reports.plots` draw.

    Args:
        config: the merged configuration.
        release: the release; None is the release in force.
    """
    store = open_store(config)
    return publish_report.release_data(store, release or r.latest(store), config.pools.k)

"""The whole product as plain functions, for notebooks and other programs: `trackpools run` and its kin without a shell.

They work in the active Spark session, set no configuration on it, and raise `TrackpoolsError` where a command would print.
"""

import json
import logging
from collections.abc import Mapping, Sequence
from typing import Any

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from trackpools import stages as s
from trackpools.config import Config
from trackpools.shell import look, reporting, work
from trackpools.shell import releases as r
from trackpools.shell.command import Answer, Options
from trackpools.shell.releases import Release
from trackpools.shell.report_data import ReportData
from trackpools.shell.session import spark_session
from trackpools.shell.settings import load_config
from trackpools.shell.store import Store
from trackpools.tables import RELEASES

LOG = logging.getLogger(__name__)
QUIET = Options(quiet=True)


def open_config(settings: Mapping[str, Any] | None = None, *, root: str | None = None, overlay: str | None = None) -> Config:
    """The merged configuration.

    Args:
        settings: `{"section.key": value}`, applied last; None leaves a key as it is.
        root: folder of the tables; not together with `store.catalog`.
        overlay: local, cluster, databricks, s3a, or a YAML file.

    Raises:
        ConfigError: with every problem.
    """
    texts = [f"{key}={json.dumps(value)}" for key, value in (settings or {}).items() if value is not None]  # JSON is YAML
    return load_config(overlay, texts, root or None)


def open_store(config: Config) -> Store:
    """The tables of a configuration."""
    return Store(_session(config), config.store)


def _session(config: Config) -> SparkSession:
    return spark_session(config.session)


def _warned(answer: Answer) -> Answer:
    for warning in answer.warnings:
        LOG.warning(warning)
    return answer


def import_log(config: Config, name: str = "synthetic", path: str | None = None, user_vectors: str | None = None) -> dict[str, Any]:
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
    answer = _warned(work.run_stages(config, QUIET, "run", s.STAGES, publish=True, as_of=as_of, known_as_of=known_as_of))
    return next(release for release in releases(config) if release.release_id == answer.release_id)


def releases(config: Config) -> list[Release]:
    """Published releases, latest first."""
    return r.releases(open_store(config))


def releases_table(config: Config) -> DataFrame:
    """One row a published release, latest first, without the pinned tables' details: for `display`."""
    return open_store(config).read(RELEASES.name).select("seq", "release_id", "as_of", "created_at", "valid_until", "model_version").orderBy(F.desc("seq"))


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
    return look.decoded(store, release, config, ids.where(F.col("user_id").isin(list(users))) if users else ids)


def pools_audit(config: Config, release: Release | None = None) -> DataFrame:
    """Of the users of the audit sample everything that was proposed: by which source at which rank, and what became of it; see `core.decode`."""
    store = open_store(config)
    return look.audited(store, release or r.latest(store), config)


def report_data(config: Config, release: Release | None = None) -> ReportData:
    """The small aggregates that the plots of `trackpools.shell.plots` draw."""
    store = open_store(config)
    return reporting.release_data(store, release or r.latest(store), config.pools.k)

"""Write the report of a release and register its model, from the table versions that the release pins."""

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pyspark.sql import DataFrame

from trackpools.core.serving.decode import dictionary_entries
from trackpools.shell.ingest.ingest import IngestResult
from trackpools.shell.measurement.release_drift import Older
from trackpools.shell.pipeline.runner import Flow
from trackpools.shell.releases.releases import Release, before, read_pinned
from trackpools.shell.reports.release_data import ReportData, StageCost, collect_report
from trackpools.shell.reports.release_page import build_report
from trackpools.shell.store.root_lock import local_path
from trackpools.shell.store.store import Store
from trackpools.shell.tracking import registry


def release_data(store: Store, release: Release, k: int, **of_the_run: Any) -> ReportData:
    """Collect the numbers of the report of a release, and the drift since the release before it.

    Args:
        store: The store that holds the release.
        release: The release.
        k: Size of a full pool.
        of_the_run: Further arguments of `collect_report`, which only the run that built the release knows.
    """
    return collect_report(
        lambda name: read_pinned(store, release, name),
        dict(dictionary_entries(release.dictionary, "source")),
        release_id=release.release_id,
        as_of=release.as_of.isoformat(),
        k=k,
        model_version=release.model_version,
        tables=[(t.name, t.version, t.rows, t.hash) for t in release.tables],
        older=_before(store, release),
        **of_the_run,
    )


def _before(store: Store, release: Release) -> Older | None:
    older = before(store, release)
    return Older.of(store, older[0]) if older else None


def write_report(flow: Flow, release: Release, imported: IngestResult | None) -> Path | None:
    """Write the report of a release to MLflow as report.html and, if the root is local, into the root too.

    If pools are smaller than `pools.k`, a warning is added to the notes of the flow.

    Args:
        flow: The flow that built the release.
        release: The release.
        imported: The result of the import, if this run imported a log.

    Returns:
        The path of the report in the root; None if the root is not local.
    """
    costs = [
        StageCost(
            done.stage,
            sum(table.rows for table in done.tables),
            done.seconds,
            done.usage.get("core_seconds"),
            int(done.usage.get("input_bytes", 0)),
        )
        for done in flow.done
        if done.stage != "publish"
    ]
    counted = (
        {name: getattr(imported, name) for name in ("read", "accepted", "rejected", "duplicates")}
        if imported
        else None
    )
    rejected = imported.reasons if imported else None
    data = release_data(
        flow.store,
        release,
        flow.config.pools.k,
        accounting=counted,
        rejected=rejected,
        loss=flow.notes.curve,
        stages=costs,
    )
    if data.shortfalls:
        rules = ", ".join(
            f"{rule} {count:,}" for rule, count in sorted(data.shortfalls.items(), key=lambda one: -one[1])
        )
        said = f"{sum(data.shortfalls.values()):,} of {release.rows('pools'):,} pools are short, by the rule that limited them: {rules}"
        flow.notes.warnings.append(
            f"{said}; `trackpools watch` says whether that is usual, and `trackpools explain USER` why one pool is short"
        )
    html = build_report(data)
    flow.tracker.artifact_text("report.html", html)
    folder = local_path(flow.config.store.root)
    if folder is None:
        return None
    path = folder / "reports" / f"{release.release_id}.html"
    path.parent.mkdir(exist_ok=True)
    path.write_text(html, encoding="utf-8")
    return path


def register_model(
    flow: Flow, alias: str, model_version: str, read: Callable[[str], DataFrame]
) -> str | None:
    """Register a model if it is not registered yet, and point an alias at its registered version.

    Args:
        flow: The flow that trained or published the model.
        alias: The alias to set.
        model_version: Our identifier of the model.
        read: Table name → frame of the training that made the model, for `recording_factors` and
            `recording_ids`; it is called only if the model is not registered yet.

    Returns:
        The registered version. None if tracking is off, the server cannot be reached, or the model is larger
        than `mlflow.max_model_mb`.
    """
    config, root, train = flow.config.mlflow, flow.config.store.root, flow.config.train
    if not config.enabled or flow.tracker.run_id is None:
        return None
    known = registry.repair_alias(config, root, model_version, alias)
    if known is not None:
        return known
    about = registry.TrainingInfo(
        model_version=model_version,
        engine=train.engine,
        alpha=train.alpha,
        reg=train.regularisation,
        nu=train.exponent,
        alpha0=train.alpha0,
    )
    with tempfile.TemporaryDirectory() as folder:
        npz = registry.export_factors(
            read("recording_factors"),
            read("recording_ids"),
            Path(folder) / "factors.npz",
            about,
            config.max_model_mb,
        )
        if npz is None or registry.register(config, root, flow.tracker.run_id, npz, about) is None:
            return None
    return registry.repair_alias(config, root, model_version, alias)


def follow_release(flow: Flow, release: Release) -> None:
    """Register the model of a release, and point the alias `champion` at it.

    If the registry cannot be reached now, this does nothing, and a later command corrects the alias. Until
    then, the release says which model is in force, not the alias.
    """
    register_model(
        flow, registry.CHAMPION, release.model_version, lambda name: read_pinned(flow.store, release, name)
    )

"""After a release: its report and its model, from the tables it pins."""

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pyspark.sql import DataFrame

from trackpools.core.decode import named
from trackpools.shell import model
from trackpools.shell.flow import Flow
from trackpools.shell.ingest import IngestResult
from trackpools.shell.lock import local_path
from trackpools.shell.releases import Release, before, view
from trackpools.shell.report import build_report
from trackpools.shell.report_data import ReportData, StageCost, collect_report
from trackpools.shell.report_drift import Older
from trackpools.shell.store import Store


def release_data(store: Store, release: Release, k: int, **of_the_run: Any) -> ReportData:
    """The aggregates of a release, and what has changed since the one before; `of_the_run` is what only the run that made it knows, see `collect_report`."""
    return collect_report(
        lambda name: view(store, release, name),
        dict(named(release.dictionary, "source")),
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
    """Track report.html, and keep it beside a local root; returns its path there."""
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
        said = f"{sum(data.shortfalls.values()):,} of {release.rows('pools'):,} pools are short, by the rule that bound: {rules}"
        flow.notes.warnings.append(
            f"{said}; `trackpools watch` says whether that is usual, `explain USER` why one is"
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


def registered(flow: Flow, alias: str, model_version: str, read: Callable[[str], DataFrame]) -> str | None:
    """The registered version of a training, with the alias on it; made where it was never registered. None while tracking is off or out of reach.

    Args:
        read: `recording_factors` and `recording_ids` of that training; asked only where it is not registered yet.
    """
    config, root, train = flow.config.mlflow, flow.config.store.root, flow.config.train
    if not config.enabled or flow.tracker.run_id is None:
        return None
    known = model.repair_alias(config, root, model_version, alias)
    if known is not None:
        return known
    about = model.About(
        model_version=model_version,
        engine=train.engine,
        alpha=train.alpha,
        reg=train.regularisation,
        nu=train.exponent,
        alpha0=train.alpha0,
    )
    with tempfile.TemporaryDirectory() as folder:
        npz = model.export_factors(
            read("recording_factors"),
            read("recording_ids"),
            Path(folder) / "factors.npz",
            about,
            config.max_model_mb,
        )
        if npz is None or model.register(config, root, flow.tracker.run_id, npz, about) is None:
            return None
    return model.repair_alias(config, root, model_version, alias)


def follow_release(flow: Flow, release: Release) -> None:
    """Make the registry say what the release says: its model registered, the alias on it. Nothing while tracking is out of reach.

    The release row is the truth; a registry that was away when it landed is mended by the next command.
    """
    registered(
        flow, model.CHAMPION, release.model_version, lambda name: flow.store.read(name, release.version(name))
    )

"""What the commands do, once options are read: import, run stages, publish, report."""

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from trackpools import stages as s
from trackpools.config import Config
from trackpools.datasets import IMPORTERS, Imported
from trackpools.errors import ConfigError
from trackpools.shell import contracts, promoting, releases, reporting
from trackpools.shell.command import Answer, Options, as_tables, flow_id, telling
from trackpools.shell.flow import Done, Flow
from trackpools.shell.ingest import IngestResult, ingest
from trackpools.shell.lock import writer_lock
from trackpools.shell.moment import parse_time
from trackpools.shell.releases import Release
from trackpools.shell.session import spark_session
from trackpools.shell.store import Store, require_place
from trackpools.shell.tracking import Tracker, replay_pending
from trackpools.stage import Stage
from trackpools.tables import TRUTH

VECTORS = ("vectors", "text-vectors")


def import_log(config: Config, options: Options, name: str, path: str | None, user_vectors: str | None = None) -> Answer:
    """Import a log into plays, tracks, users and signals."""
    if user_vectors is not None and name != "vectors":
        raise ConfigError(f"--user-vectors goes with `import vectors`, not with {name!r:.60}")
    if name in VECTORS:
        return import_vectors(config, options, name, path, user_vectors)
    if name != "synthetic" and name not in IMPORTERS:
        raise ConfigError(f"no importer {name!r:.60}; there are: {', '.join(sorted([*IMPORTERS, *VECTORS, 'synthetic']))}")
    if name != "synthetic" and path is None:
        raise ConfigError(f"import {name} needs the PATH of its file or folder")
    require_place(config.store)
    with telling(options, 1) as tell, writer_lock(config.store.root):
        store = Store(spark_session(config.session), config.store)
        tell(f"import: read {name}")
        return _import_answer(_ingest(store, config, name, path), store, options, name)


def import_vectors(config: Config, options: Options, name: str, path: str | None, users: str | None = None) -> Answer:
    """Put vectors of your own in the place of those there: `vectors` from tables, `text-vectors` from the catalogue by a model in a folder."""
    from trackpools.shell import vectors

    if path is None:
        raise ConfigError(f"import {name} needs the PATH of {'the table of track vectors' if name == 'vectors' else 'the folder of a model2vec model'}")
    require_place(config.store)
    with telling(options, 1) as tell, writer_lock(config.store.root):
        store = Store(spark_session(config.session), config.store)
        tell(f"import: read {name}")
        counts = vectors.brought(store, config, path, users) if name == "vectors" else vectors.of_texts(store, config, path)
        kinds = {kind: counts.pop(kind, 0) for kind in ("track", "user")}
        told = f"{kinds['track']:,} vectors of tracks and {kinds['user']:,} of users → {store.where('vectors')}"
        refused = [f"  left out: {count:,} × {reason}" for reason, count in sorted(counts.items())]
        after = f"next: trackpools run --set sources.vectors.enabled=true --root {options.root or '…'}"
        return Answer(lines=[told, *refused, after], more={"tracks": kinds["track"], "users": kinds["user"], "reasons": counts})


def _ingest(store: Store, config: Config, name: str, path: str | None) -> IngestResult:
    if name == "synthetic":
        from trackpools.datasets import synthetic

        world = synthetic.world(store.spark, config.synthetic)
        found = Imported(plays=world.plays, tracks=world.tracks, users=world.users, signals=world.signals)
        store.overwrite(TRUTH, world.affinities, {"stage": "import"})
    else:
        found = IMPORTERS[name](store.spark, str(path), config)
    return ingest(store, found, config, datetime.now(UTC), {"stage": "import", "importer": name, "schema_version": config.ingest.schema_version})


def _import_answer(result: IngestResult, store: Store, options: Options, name: str) -> Answer:
    where = store.where("plays")
    told = f"read {result.read:,} rows of {name}: {result.accepted:,} accepted, {result.rejected:,} rejected, {result.duplicates:,} duplicates → {where}"
    reasons = [f"  rejected: {count:,} × {reason}" for reason, count in sorted(result.reasons.items())]
    after = f"next: trackpools run --root {options.root or '…'}"
    more = {"read": result.read, "accepted": result.accepted, "rejected": result.rejected, "duplicates": result.duplicates, "reasons": result.reasons}
    return Answer(warnings=list(result.notes), lines=[told, *reasons, after], more=more)


def dry_run(config: Config, chosen: Sequence[Stage]) -> Answer:
    """What would be done, and the merged configuration; nothing is touched."""
    plan: list[Any] = [
        f"{stage.name}: {stage.does}; reads {', '.join(t.name for t in stage.reads)}; writes {', '.join(t.name for t in stage.writes)}" for stage in chosen
    ]
    values = config.flat()
    settings = [f"{key} = {value!r}" for key, value in values.items()]
    return Answer(lines=[*plan, "", *settings], more={"plan": [stage.name for stage in chosen], "config": values})


@contextlib.contextmanager
def _opened(config: Config, options: Options, name: str, steps: int, *, as_of: str | None = None, known_as_of: str | None = None) -> Iterator[Flow]:
    """A tracked flow on a locked root; what an earlier command could not track is replayed first."""
    require_place(config.store)
    with telling(options, steps) as tell, writer_lock(config.store.root):
        spark = spark_session(config.session)
        replay_pending(config.mlflow, config.store.root)
        with Tracker(config.mlflow, config.store.root, flow_id(name), name) as tracker:
            yield Flow(config, spark, tracker, as_of, known_as_of, tell)


def run_stages(
    config: Config, options: Options, name: str, chosen: Sequence[Stage], *, publish: bool, as_of: str | None, known_as_of: str | None
) -> Answer:
    """Run stages in order; with `publish`, also publish, register the model and write the report."""
    with _opened(config, options, name, len(chosen) + 2 * publish, as_of=as_of, known_as_of=known_as_of) as flow:
        return _run(flow, options, chosen, publish=publish)


def _run(flow: Flow, options: Options, chosen: Sequence[Stage], *, publish: bool, imported: IngestResult | None = None) -> Answer:
    flow.tracker.params(flow.config.flat())
    if chosen and publish:
        contracts.require_kept(flow.store, flow.config, parse_time(flow.as_of, "--as-of") if flow.as_of else None)
    for stage in chosen:
        flow.run(stage)
    release = None
    lines: list[Any] = [_summary(done) for done in flow.done]
    if publish:
        release = flow.publish()
        lines = [_summary(done) for done in flow.done] + _after_publish(flow, release, options, imported)
    elif chosen:
        if any(done.stage == "train" for done in flow.done):
            version = promoting.register_challenger(flow)
            lines += [f"model {flow.config.mlflow.model_name} version {version} is registered as challenger"] if version else []
        lines.append(f"next: trackpools {_next(chosen[-1])} --root {options.root or '…'}")
    stats = [table for done in flow.done for table in done.tables]
    return Answer(
        release_id=release.release_id if release else None, tables=as_tables(stats), mlflow_run_id=flow.tracker.run_id, warnings=flow.notes.warnings,
        lines=lines,
        more={"stages": [{"stage": d.stage, "seconds": round(d.seconds, 3), "skipped": d.skipped} for d in flow.done]},
    )


def _next(stage: Stage) -> str:
    names = [one.name for one in s.STAGES if one.name not in {"daily", "taste", "facts", "index"}]  # `interactions` runs them first
    after = names.index(stage.name) + 1
    return names[after] if after < len(names) else "publish"


def _summary(done: Done) -> str:
    rows = ", ".join(f"{table.name} {table.rows:,}" for table in done.tables[:4]) + (" …" if len(done.tables) > 4 else "")
    return f"{done.stage:<13}{done.seconds:7.1f} s  {'unchanged: ' if done.skipped else ''}{rows}"


def _after_publish(flow: Flow, release: Release, options: Options, imported: IngestResult | None) -> list[Any]:
    fresh = not flow.done[-1].skipped
    lines: list[Any] = []
    if fresh:
        flow.progress("report: plots and model")
        report = reporting.write_report(flow, release, imported)
        lines += [f"report: {report}"] if report else []
    reporting.follow_release(flow, release)
    flow.tracker.tag({"trackpools.release_id": release.release_id, "trackpools.seq": release.seq})
    pools = next(table for table in release.tables if table.name == "pools")
    state = "published" if fresh else "is in force already"
    said = f"release {release.seq} ({release.release_id}) {state}: {pools.rows:,} pools → {flow.store.where('pools')}"
    where = f"--root {options.root}" if options.root else "…"
    return [said, *lines, f"next: trackpools show pools --limit 1 {where}   (or: trackpools explain USER {where})"]


def promote(config: Config, options: Options) -> Answer:
    """Publish the pools in the store if they hold against the release in force; refused with every gate otherwise.

    Raises:
        ModelError: where a gate does not hold.
    """
    with _opened(config, options, "promote", 4) as flow:
        champion = releases.latest(flow.store)
        _, made = flow.made()
        if made["run_key"] == champion.run_key:
            reporting.follow_release(flow, champion)
            return Answer(release_id=champion.release_id, lines=[f"the pools here are those of release {champion.seq}, which is in force: nothing to promote"])
        return _promote(flow, options, champion)


def _promote(flow: Flow, options: Options, champion: Release) -> Answer:
    promoting.register_challenger(flow)
    flow.progress("measure: challenger and champion on the same listeners")
    verdict = promoting.judged(flow, champion)
    promoting.tell(flow, verdict)
    if not verdict.passed:
        raise promoting.Refused(champion.seq, verdict)
    said = [f"holds  {gate.name}: {gate.said}" for gate in verdict.gates]
    release = flow.publish(promoted=True)
    return Answer(
        release_id=release.release_id, tables=as_tables(list(release.tables)), mlflow_run_id=flow.tracker.run_id,
        warnings=[*flow.notes.warnings, *verdict.notes], lines=[*said, *_after_publish(flow, release, options, None)],
        more={"gates": [asdict(gate) for gate in verdict.gates], "measures": [asdict(one) for one in verdict.measures]})


def demo(config: Config, options: Options) -> Answer:
    """Synthetic world → published release → one pool explained; safe to run again."""
    with _opened(config, options, "demo", len(s.STAGES) + 3) as flow:
        flow.progress(f"import: generate {config.synthetic.users:,} listeners over {config.synthetic.days} days")
        imported = _ingest(flow.store, config, "synthetic", None)
        return _run(flow, options, s.STAGES, publish=True, imported=imported)

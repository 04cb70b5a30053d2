"""What the commands do, once options are read: import, run stages, publish, report."""

from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from trackpools import stages as s
from trackpools.config import Config
from trackpools.core.channels import BACKFILL, CANARY, PROD
from trackpools.datasets import IMPORTERS, Imported
from trackpools.errors import ConfigError
from trackpools.shell import canarying, contracts, costs, promoting, releases, reporting
from trackpools.shell.cluster import require_classic
from trackpools.shell.command import Answer, Options, as_tables, telling
from trackpools.shell.confs import unguarded
from trackpools.shell.flow import Done, Flow
from trackpools.shell.ingest import IngestResult, ingest
from trackpools.shell.lock import writer_lock
from trackpools.shell.moment import parse_time
from trackpools.shell.opening import opened
from trackpools.shell.releases import Release
from trackpools.shell.session import spark_session
from trackpools.shell.store import Store, require_place
from trackpools.stage import Stage
from trackpools.tables import TRUTH

CATALOGUE = ("tracks", "users", "signals")
VECTORS = ("vectors", "text-vectors")


def import_log(
    config: Config, options: Options, name: str, path: str | None, user_vectors: str | None = None
) -> Answer:
    """Import a log into plays, tracks, users and signals."""
    if user_vectors is not None and name != "vectors":
        raise ConfigError(f"--user-vectors goes with `import vectors`, not with {name!r:.60}")
    if name in VECTORS:
        return import_vectors(config, options, name, path, user_vectors)
    if name != "synthetic" and name not in IMPORTERS:
        raise ConfigError(
            f"no importer {name!r:.60}; there are: {', '.join(sorted([*IMPORTERS, *VECTORS, 'synthetic']))}"
        )
    if name != "synthetic" and path is None:
        raise ConfigError(f"import {name} needs the PATH of its file or folder")
    require_place(config.store)
    with telling(options, 1) as tell, writer_lock(config.store.root):
        store = Store(spark_session(config.session), config.store)
        tell(f"import: read {name}")
        return _import_answer(_ingest(store, config, name, path), store, options, name)


def import_vectors(
    config: Config, options: Options, name: str, path: str | None, users: str | None = None
) -> Answer:
    """Put vectors of your own in the place of those there: `vectors` from tables, `text-vectors` from the catalogue by a model in a folder."""
    from trackpools.shell import vectors

    if path is None:
        raise ConfigError(
            f"import {name} needs the PATH of {'the table of track vectors' if name == 'vectors' else 'the folder of a model2vec model'}"
        )
    require_place(config.store)
    with telling(options, 1) as tell, writer_lock(config.store.root):
        store = Store(spark_session(config.session), config.store)
        tell(f"import: read {name}")
        counts = (
            vectors.brought(store, config, path, users)
            if name == "vectors"
            else vectors.of_texts(store, config, path)
        )
        kinds = {kind: counts.pop(kind, 0) for kind in ("track", "user")}
        told = (
            f"{kinds['track']:,} vectors of tracks and {kinds['user']:,} of users → {store.where('vectors')}"
        )
        refused = [f"  left out: {count:,} × {reason}" for reason, count in sorted(counts.items())]
        after = f"next: trackpools run --set sources.vectors.enabled=true --root {options.root or '…'}"
        return Answer(
            lines=[told, *refused, after],
            more={"tracks": kinds["track"], "users": kinds["user"], "reasons": counts},
        )


def _ingest(store: Store, config: Config, name: str, path: str | None) -> IngestResult:
    if name == "synthetic":
        from trackpools.datasets import synthetic

        world = synthetic.world(store.spark, config.synthetic)
        found = Imported(plays=world.plays, tracks=world.tracks, users=world.users, signals=world.signals)
        store.overwrite(TRUTH, world.affinities, {"stage": "import"})
    else:
        found = IMPORTERS[name](store.spark, str(path), config)
    return ingest(
        store,
        found,
        config,
        datetime.now(UTC),
        {"stage": "import", "importer": name, "schema_version": config.ingest.schema_version},
    )


def _import_answer(result: IngestResult, store: Store, options: Options, name: str) -> Answer:
    became = f"{result.accepted:,} accepted, {result.rejected:,} rejected, {result.duplicates:,} duplicates"
    told = f"read {result.read:,} rows of {name}: {became} → {store.where('plays')}"
    others = [
        f"{table}: {rows:,} rows new or changed → {store.where(table)}"
        for table, rows in result.written.items()
        if table in CATALOGUE
    ]
    if name in CATALOGUE:  # a file of theirs holds no plays
        told, others = (others or [f"{name}: nothing new → {store.where(name)}"])[0], others[1:]
    reasons = [
        *others,
        *(f"  rejected: {count:,} × {reason}" for reason, count in sorted(result.reasons.items())),
    ]
    if result.rejected:
        reasons.append(f"  each refused row, and why → {store.where('plays_rejected')}")
    after = f"next: trackpools {'refresh' if releases.last_of(releases.releases(store)) else 'run'} --root {options.root or '…'}"
    more: dict[str, Any] = {
        name: getattr(result, name)
        for name in ("read", "accepted", "rejected", "duplicates", "reasons", "written")
    }
    return Answer(warnings=list(result.notes), lines=[told, *reasons, after], more=more)


def dry_run(config: Config, chosen: Sequence[Stage]) -> Answer:
    """What would be done, and the merged configuration; nothing is touched."""
    plan: list[Any] = [
        f"{stage.name}: {stage.does}; reads {', '.join(t.name for t in stage.reads)}; writes {', '.join(t.name for t in stage.writes)}"
        for stage in chosen
    ]
    values = config.flat()
    settings = [f"{key} = {value!r}" for key, value in values.items()]
    return Answer(
        lines=[*plan, "", *settings], more={"plan": [stage.name for stage in chosen], "config": values}
    )


def run_stages(
    config: Config,
    options: Options,
    name: str,
    chosen: Sequence[Stage],
    *,
    publish: bool,
    as_of: str | None,
    known_as_of: str | None,
    channel: str = PROD,
    share: float | None = None,
    budget: float | None = None,
) -> Answer:
    """Run stages in order; with `publish`, also publish on a channel, register the model and write the report.

    Args:
        share: of the buckets, a canary's.
        budget: in money; see `costs.require_within`.

    Raises:
        ConfigError: where it would cost more than the budget.
        ModelError: where a canary breaks a guardrail; it is rolled back then.
    """
    with opened(
        config, options, name, len(chosen) + 2 * publish, as_of=as_of, known_as_of=known_as_of
    ) as flow:
        flow.channel, flow.share = (
            channel,
            share if share is not None or channel != CANARY else config.canary.share,
        )
        costs.require_within(flow, budget, [stage.name for stage in chosen])
        return _run(flow, options, chosen, publish=publish)


def _run(
    flow: Flow,
    options: Options,
    chosen: Sequence[Stage],
    *,
    publish: bool,
    imported: IngestResult | None = None,
) -> Answer:
    if s.BY_NAME["train"] in chosen:
        require_classic(flow.spark, flow.config.train.engine)
    flow.tracker.params(flow.config.flat())
    flow.notes.warnings.extend(filter(None, [unguarded(flow.spark, flow.config.store.root)]))
    if chosen and publish:
        contracts.require_kept(
            flow.store, flow.config, parse_time(flow.as_of, "--as-of") if flow.as_of else None
        )
    for stage in chosen:
        flow.run(stage)
    release = None
    lines: list[Any] = [_summary(done) for done in flow.done]
    if publish:
        release = flow.publish()
        lines += [_summary(flow.done[-1]), *_after_publish(flow, release, options, imported)]
    elif chosen:
        if any(done.stage == "train" for done in flow.done):
            version = promoting.register_challenger(flow)
            lines += (
                [f"model {flow.config.mlflow.model_name} version {version} is registered as challenger"]
                if version
                else []
            )
        lines.append(f"next: trackpools {_next(chosen[-1])} --root {options.root or '…'}")
    stats = [table for done in flow.done for table in done.tables]
    return Answer(
        release_id=release.release_id if release else None,
        tables=as_tables(stats),
        mlflow_run_id=flow.tracker.run_id,
        warnings=flow.notes.warnings,
        lines=lines,
        more={
            "stages": [
                {"stage": d.stage, "seconds": round(d.seconds, 3), "skipped": d.skipped} for d in flow.done
            ]
        },
    )


def _next(stage: Stage) -> str:
    names = [
        one.name for one in s.STAGES if one.name not in {"daily", "taste", "facts", "index"}
    ]  # `interactions` runs them first
    after = names.index(stage.name) + 1
    return names[after] if after < len(names) else "publish"


def _summary(done: Done) -> str:
    rows = ", ".join(f"{table.name} {table.rows:,}" for table in done.tables[:4]) + (
        " …" if len(done.tables) > 4 else ""
    )
    return f"{done.stage:<13}{done.seconds:7.1f} s  {'unchanged: ' if done.skipped else ''}{rows}"


def _after_publish(
    flow: Flow, release: Release, options: Options, imported: IngestResult | None
) -> list[Any]:
    fresh = not flow.done[-1].skipped
    lines: list[Any] = []
    if fresh:
        flow.progress("report and model")
        if flow.config.report.enabled and release.channel != BACKFILL:
            report = reporting.write_report(flow, release, imported)
            lines.append(
                f"report: {report or 'report.html of the MLflow run; only a local root keeps it beside its tables'}"
            )
    flow.tracker.tag(
        {
            "trackpools.release_id": release.release_id,
            "trackpools.seq": release.seq,
            "trackpools.channel": release.channel,
        }
    )
    lines += _of_channel(flow, release)
    if fresh:
        lines.append(
            costs.tell(flow, release, {done.stage: done.seconds for done in flow.done if not done.skipped})
        )
    pools = next(table for table in release.tables if table.name == "pools")
    state = (
        ("published" if release.channel == PROD else f"published as {release.channel}")
        if fresh
        else "is in force already"
    )
    said = f"release {release.seq} ({release.release_id}) {state}: {pools.rows:,} pools → {flow.store.where('pools')}"
    where = f"--root {options.root}" if options.root else "…"
    return [
        said,
        *lines,
        f"next: trackpools show pools --limit 1 {where}   (or: trackpools explain USER {where})",
    ]


def _of_channel(flow: Flow, release: Release) -> list[str]:
    """What follows from a release where it was published."""
    if release.channel == CANARY:
        canarying.require_kept(flow, release)
        return [
            f"{release.share:.0%} of the buckets follow it; next: trackpools canary, which rolls it back where a guardrail does not hold"
        ]
    if release.channel != PROD:
        return []
    reporting.follow_release(flow, release)
    broken = canarying.watch(flow)
    return [f"the canary was rolled back: {'; '.join(broken)}"] if broken else []


def promote(config: Config, options: Options) -> Answer:
    """Publish the pools in the store if they hold against the release in force; refused with every gate otherwise.

    Raises:
        ModelError: where a gate does not hold.
    """
    with opened(config, options, "promote", 4) as flow:
        champion = releases.latest(flow.store)
        _, made = flow.made()
        if made["run_key"] == champion.run_key:
            reporting.follow_release(flow, champion)
            return Answer(
                release_id=champion.release_id,
                lines=[
                    f"the pools here are those of release {champion.seq}, which is in force: nothing to promote"
                ],
            )
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
        release_id=release.release_id,
        tables=as_tables(list(release.tables)),
        mlflow_run_id=flow.tracker.run_id,
        warnings=[*flow.notes.warnings, *verdict.notes],
        lines=[*said, *_after_publish(flow, release, options, None)],
        more={
            "gates": [asdict(gate) for gate in verdict.gates],
            "measures": [asdict(one) for one in verdict.measures],
        },
    )


def demo(config: Config, options: Options) -> Answer:
    """Synthetic world → published release → one pool explained; safe to run again."""
    with opened(config, options, "demo", len(s.STAGES) + 3) as flow:
        require_classic(flow.spark, config.train.engine)
        flow.progress(
            f"import: generate {config.synthetic.users:,} listeners over {config.synthetic.days} days"
        )
        imported = _ingest(flow.store, config, "synthetic", None)
        return _run(flow, options, s.STAGES, publish=True, imported=imported)

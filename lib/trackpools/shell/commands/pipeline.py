"""The commands that write tables or releases: import, the stages, run, publish, promote and demo."""

from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime, time
from typing import Any

from trackpools import stages as s
from trackpools.config import Config
from trackpools.core.serving.channels import BACKFILL, CANARY, PROD
from trackpools.datasets import IMPORTERS, Imported
from trackpools.errors import ConfigError
from trackpools.shell.command import CommandResult, Options, as_tables
from trackpools.shell.commands.step_profile import StepProfile
from trackpools.shell.ingest.ingest import IngestResult, ingest
from trackpools.shell.measurement import costs
from trackpools.shell.monitoring import input_contracts
from trackpools.shell.pipeline.open_flow import open_flow
from trackpools.shell.pipeline.runner import Flow, StageResult
from trackpools.shell.promotion import canary_check, gated_promotion
from trackpools.shell.releases import releases
from trackpools.shell.releases.releases import Release
from trackpools.shell.reports import publish_report
from trackpools.shell.spark.context import require_classic
from trackpools.shell.spark.session import spark_session
from trackpools.shell.spark.temporary_conf import second_writer_warning
from trackpools.shell.store.root_lock import writer_lock
from trackpools.shell.store.store import Store, require_place
from trackpools.shell.store.time_travel import parse_time
from trackpools.stage import Stage
from trackpools.tables import TRUTH

CATALOGUE = ("tracks", "users", "signals")
VECTORS = ("vectors", "text-vectors")


def import_log(
    config: Config, options: Options, name: str, path: str | None, user_vectors: str | None = None
) -> CommandResult:
    """Import a log into `plays`, `tracks`, `users` and `signals`, or vectors into `vectors`.

    Args:
        config: The merged configuration.
        options: Options of the command line.
        name: Name of an importer, or `synthetic` for a generated log, or one of `VECTORS`.
        path: File or folder to read; `synthetic` ignores it.
        user_vectors: File of user vectors; only with the importer `vectors`.

    Raises:
        ConfigError: If the importer is unknown, or an option is missing or does not fit the importer.
    """
    if user_vectors is not None and name != "vectors":
        raise ConfigError(
            f"--user-vectors can only be used with `import vectors`; the importer is {name!r:.60}"
        )
    if name in VECTORS:
        return import_vectors(config, options, name, path, user_vectors)
    if name != "synthetic" and name not in IMPORTERS:
        raise ConfigError(
            f"there is no importer {name!r:.60}; use one of: {', '.join(sorted([*IMPORTERS, *VECTORS, 'synthetic']))}"
        )
    if name != "synthetic" and path is None:
        raise ConfigError(f"import {name} needs the PATH of its file or folder")
    require_place(config.store)
    with options.progress(1) as progress, writer_lock(config.store.root):
        store = Store(spark_session(config.session), config.store)
        progress(f"import: read {name}")
        return _import_answer(_ingest(store, config, name, path), store, options, name)


def import_vectors(
    config: Config, options: Options, name: str, path: str | None, users: str | None = None
) -> CommandResult:
    """Replace the rows of the table `vectors`.

    Args:
        config: The merged configuration.
        options: Options of the command line.
        name: `vectors` to read vectors from tables, or `text-vectors` to compute them from the texts of the
            catalogue.
        path: For `vectors`, the table of track vectors; for `text-vectors`, the folder of a model2vec model.
        users: The table of user vectors, only for `vectors`; None if there is none.

    Raises:
        ConfigError: If `path` is None, or the model cannot be used.
        InputError: If a table is not a table of vectors.
        QualityError: If too many vectors are refused.
    """
    from trackpools.shell.ingest import vector_import

    if path is None:
        raise ConfigError(
            f"import {name} needs the PATH of {'the table of track vectors' if name == 'vectors' else 'the folder of a model2vec model'}"
        )
    require_place(config.store)
    with options.progress(1) as progress, writer_lock(config.store.root):
        store = Store(spark_session(config.session), config.store)
        progress(f"import: read {name}")
        counts = (
            vector_import.import_vectors(store, config, path, users)
            if name == "vectors"
            else vector_import.import_text_vectors(store, config, path)
        )
        kinds = {kind: counts.pop(kind, 0) for kind in ("track", "user")}
        told = (
            f"{kinds['track']:,} vectors of tracks and {kinds['user']:,} of users → {store.where('vectors')}"
        )
        refused = [f"  left out: {count:,} × {reason}" for reason, count in sorted(counts.items())]
        after = f"next: trackpools run --set sources.vectors.enabled=true --root {options.root or '…'}"
        return CommandResult(
            lines=[told, *refused, after],
            more={"tracks": kinds["track"], "users": kinds["user"], "reasons": counts},
        )


def _ingest(store: Store, config: Config, name: str, path: str | None) -> IngestResult:
    now = datetime.now(UTC)
    if name == "synthetic":
        from trackpools.datasets.synthetic import synthetic_world

        world = synthetic_world.world(store.spark, config.synthetic)
        found = Imported(plays=world.plays, tracks=world.tracks, users=world.users, signals=world.signals)
        store.overwrite(TRUTH, world.affinities, {"stage": "import"})
        # a synthetic log may end after today; all of its plays count as received by its end
        now = max(now, datetime.combine(config.synthetic.until, time(), UTC))
    else:
        found = IMPORTERS[name](store.spark, str(path), config)
    made = {"stage": "import", "importer": name, "schema_version": config.ingest.schema_version}
    return ingest(store, found, config, now, made)


def _import_answer(result: IngestResult, store: Store, options: Options, name: str) -> CommandResult:
    became = f"{result.accepted:,} accepted, {result.rejected:,} rejected, {result.duplicates:,} duplicates"
    told = f"read {result.read:,} rows of {name}: {became} → {store.where('plays')}"
    others = [
        f"{table}: {rows:,} rows new or changed → {store.where(table)}"
        for table, rows in result.written.items()
        if table in CATALOGUE
    ]
    if name in CATALOGUE:  # the importers of these names read no plays
        told, others = (others or [f"{name}: nothing new → {store.where(name)}"])[0], others[1:]
    reasons = [
        *others,
        *(f"  rejected: {count:,} × {reason}" for reason, count in sorted(result.reasons.items())),
    ]
    if result.rejected:
        reasons.append(f"  each rejected row with its reasons → {store.where('plays_rejected')}")
    after = f"next: trackpools {'refresh' if releases.last_of(releases.releases(store)) else 'run'} --root {options.root or '…'}"
    more: dict[str, Any] = {
        name: getattr(result, name)
        for name in ("read", "accepted", "rejected", "duplicates", "reasons", "written")
    }
    return CommandResult(warnings=list(result.notes), lines=[told, *reasons, after], more=more)


def dry_run(config: Config, chosen: Sequence[Stage]) -> CommandResult:
    """Report what the chosen stages would do, and the merged configuration; no table is read or written."""
    plan: list[Any] = [
        f"{stage.name}: {stage.does}; reads {', '.join(t.name for t in stage.reads)}; writes {', '.join(t.name for t in stage.writes)}"
        for stage in chosen
    ]
    values = config.flat()
    settings = [f"{key} = {value!r}" for key, value in values.items()]
    return CommandResult(
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
) -> CommandResult:
    """Run stages in order and, if wanted, publish their result.

    Publishing also registers the model and writes the report.

    Args:
        config: The merged configuration.
        options: Options of the command line.
        name: Name of the flow in MLflow.
        chosen: The stages to run.
        publish: Whether to publish a release.
        as_of: Only plays before this moment count; ISO 8601.
        known_as_of: Only plays received before this moment count; ISO 8601.
        channel: The channel to publish on.
        share: Share of the buckets whose readers follow the release, on the channel `canary`; None uses
            `canary.share`.
        budget: The most that the run may cost, in `cost.currency`; None is no limit.

    Raises:
        ConfigError: If the run would cost more than the budget.
        ModelError: If a guardrail does not hold for the published canary; the canary is then rolled back.
    """
    with open_flow(
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
) -> CommandResult:
    """Run the chosen stages of an open flow, and publish if wanted; see `run_stages`.

    Example:
        >>> with open_flow(config, options, "features", 1) as flow:  # doctest: +SKIP
        ...     _run(flow, options, [s.BY_NAME["features"]], publish=False).lines[-1]
        'next: trackpools train --root …'
    """
    if s.BY_NAME["train"] in chosen:
        require_classic(flow.spark, flow.config.train.engine)
    flow.tracker.params(flow.config.flat())
    flow.notes.warnings.extend(filter(None, [second_writer_warning(flow.spark, flow.config.store.root)]))
    if chosen and publish:
        input_contracts.require_contracts(
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
            version = gated_promotion.register_challenger(flow)
            lines += (
                [f"model {flow.config.mlflow.model_name} version {version} is registered as challenger"]
                if version
                else []
            )
        lines.append(f"next: trackpools {_next(chosen[-1])} --root {options.root or '…'}")
    stats = [table for done in flow.done for table in done.tables]
    return CommandResult(
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
    ]  # these have no command: `interactions` runs the first two, and `pools` the last two
    after = names.index(stage.name) + 1
    return names[after] if after < len(names) else "publish"


def _summary(done: StageResult) -> str:
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
        flow.progress("report: write the report, and register the model")
        if flow.config.report.enabled and release.channel != BACKFILL:
            report = publish_report.write_report(flow, release, imported)
            lines.append(
                f"report: {report or 'report.html of the MLflow run (a local root keeps a copy beside its tables)'}"
            )
    flow.tracker.tag(
        {
            "trackpools.release_id": release.release_id,
            "trackpools.seq": release.seq,
            "trackpools.channel": release.channel,
        }
    )
    lines += _follow_channel(flow, release)
    if fresh:
        lines.append(
            costs.record_costs(
                flow, release, {done.stage: done.seconds for done in flow.done if not done.skipped}
            )
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


def _follow_channel(flow: Flow, release: Release) -> list[str]:
    """Do what the channel of a new release requires, and return lines that report it.

    On `canary`, the guardrails are checked. On `prod`, the alias of the model registry is set to the model of
    the release, and a canary that readers follow at that time is judged again. On other channels nothing is
    done.
    """
    if release.channel == CANARY:
        canary_check.require_guardrails(flow, release)
        return [
            f"{release.share:.0%} of the buckets follow this release; next: trackpools canary, which rolls it back if a guardrail does not hold"
        ]
    if release.channel != PROD:
        return []
    publish_report.follow_release(flow, release)
    broken = canary_check.watch(flow)
    return [f"the canary was rolled back: {'; '.join(broken)}"] if broken else []


def promote(config: Config, options: Options) -> CommandResult:
    """Publish the pools in the store, if they pass all gates when compared with the release in force.

    Raises:
        ModelError: If a gate does not hold; the error lists every gate.
    """
    with open_flow(config, options, "promote", 4) as flow:
        champion = releases.latest(flow.store)
        _, made = flow.release_inputs()
        if made["run_key"] == champion.run_key:
            publish_report.follow_release(flow, champion)
            return CommandResult(
                release_id=champion.release_id,
                lines=[
                    f"the pools in the store are those of release {champion.seq}, which is in force: there is nothing to promote"
                ],
            )
        return _promote(flow, options, champion)


def _promote(flow: Flow, options: Options, champion: Release) -> CommandResult:
    gated_promotion.register_challenger(flow)
    flow.progress("measure: compare the challenger and the champion on the same users")
    verdict = gated_promotion.judge_challenger(flow, champion)
    gated_promotion.record_verdict(flow, verdict)
    if not verdict.passed:
        raise gated_promotion.Refused(champion.seq, verdict)
    said = [f"holds  {gate.name}: {gate.said}" for gate in verdict.gates]
    release = flow.publish(promoted=True)
    return CommandResult(
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


def demo(config: Config, options: Options, *, profile: bool = False) -> CommandResult:
    """Generate a synthetic log, run all stages and publish a release; it may be called again.

    Args:
        config: The merged configuration.
        options: Options of the command line.
        profile: Whether the answer has a table of how long each step took.
    """
    steps = StepProfile()
    with open_flow(config, options, "demo", len(s.STAGES) + 3) as flow:
        require_classic(flow.spark, config.train.engine)
        steps.follow(flow)
        flow.progress(f"import: generate {config.synthetic.users:,} users over {config.synthetic.days} days")
        imported = _ingest(flow.store, config, "synthetic", None)
        answer = _run(flow, options, s.STAGES, publish=True, imported=imported)
        return steps.added_to(answer, flow.spark) if profile else answer

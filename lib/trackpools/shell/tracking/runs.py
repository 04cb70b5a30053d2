"""Read tracked commands from MLflow, with their parameters and the metrics of their stages."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from trackpools.config import MlflowConfig
from trackpools.errors import InputError
from trackpools.shell.tracking.mlflow_server import Server, experiment_id

PARENT, NAME, RELEASE = "mlflow.parentRunId", "mlflow.runName", "trackpools.release_id"
MAX_RUNS = 1000  # greatest number of runs that are read, including the runs of stages


@dataclass(frozen=True)
class Run:
    """One tracked command.

    Attributes:
        name: name of the run.
        run_id: MLflow's id of the run.
        began: start time, in UTC.
        release_id: the release that the command published or left in force; None if it did neither.
        params: `section.key` → value as text.
        metrics: name → last value. The command's own metrics have their plain name; the name of a stage's
            metric is `<stage>.<metric>`.
    """

    name: str
    run_id: str
    began: datetime
    release_id: str | None
    params: Mapping[str, str]
    metrics: Mapping[str, float]


def runs(config: MlflowConfig, root: str | None) -> list[Run]:
    """Return the tracked commands of the configured experiment, latest first.

    Only the latest `MAX_RUNS` runs are read, and each stage is a run too.

    Args:
        config: the `mlflow` section.
        root: root of the store.

    Raises:
        InputError: if MLflow is switched off or out of reach.
    """
    server = Server(config, root)
    latest = ["attributes.start_time DESC"]
    found = server.attempt(
        lambda client: client.search_runs(
            [experiment_id(client, config, server.uri)], max_results=MAX_RUNS, order_by=latest
        )
    )
    if found is None:
        raise InputError(
            f"no runs can be read: {server.down or 'mlflow.enabled is false'}; check mlflow.tracking_uri"
        )
    parts: dict[str, dict[str, float]] = {}
    for one in found:
        if PARENT in one.data.tags:
            of = parts.setdefault(one.data.tags[PARENT], {})
            of |= {f"{one.data.tags.get(NAME, '')}.{name}": value for name, value in one.data.metrics.items()}
    return [_run(one, parts.get(one.info.run_id, {})) for one in found if PARENT not in one.data.tags]


def _run(one: Any, parts: Mapping[str, float]) -> Run:
    began = datetime.fromtimestamp(one.info.start_time / 1000, UTC)
    tags, metrics = one.data.tags, dict(one.data.metrics) | dict(sorted(parts.items()))
    return Run(tags.get(NAME, ""), one.info.run_id, began, tags.get(RELEASE), dict(one.data.params), metrics)

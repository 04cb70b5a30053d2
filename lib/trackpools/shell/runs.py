"""Tracked commands, read back from MLflow: what a run was told, and what its stages measured."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from trackpools.config import MlflowConfig
from trackpools.errors import InputError
from trackpools.shell.mlflow_client import Server, experiment_id

PARENT, NAME, RELEASE = "mlflow.parentRunId", "mlflow.runName", "trackpools.release_id"
MOST = 1000  # runs looked through, stages among them


@dataclass(frozen=True)
class Run:
    """One command.

    Attributes:
        release_id: what it published or left in force; None where it did neither.
        params: `section.key` → value as text.
        metrics: the command's own by name, those of a stage as `stage.name`; the last value of each.
    """

    name: str
    run_id: str
    began: datetime
    release_id: str | None
    params: Mapping[str, str]
    metrics: Mapping[str, float]


def runs(config: MlflowConfig, root: str | None) -> list[Run]:
    """Commands of the experiment, latest first.

    Raises:
        InputError: where MLflow is switched off or out of reach.
    """
    server = Server(config, root)
    latest = ["attributes.start_time DESC"]
    found = server.attempt(
        lambda client: client.search_runs(
            [experiment_id(client, config, server.uri)], max_results=MOST, order_by=latest
        )
    )
    if found is None:
        raise InputError(
            f"no runs can be read: {server.down or 'mlflow.enabled is false'}; look at mlflow.tracking_uri"
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

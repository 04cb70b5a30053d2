"""Push spooled records: write them to runs on an MLflow server.

Pushing the same records twice leaves the same runs as pushing them once.
"""

import logging
import re
from itertools import groupby
from pathlib import Path
from typing import Any

from trackpools.shell.tracking.mlflow_server import Server, experiment_id, refused
from trackpools.shell.tracking.outbox import Record

LOG = logging.getLogger(__name__)
FLOW_TAG, STAGE_TAG = "trackpools.flow_id", "trackpools.stage"
FLOW = "(flow)"  # value of the stage tag of the parent run
# MLflow's limits: parameters (or tags) and metrics in one request, and characters of a parameter's value, of
# a tag's value and of a name.
PARAMS_PER_REQUEST, METRICS_PER_REQUEST, VALUE_LENGTH, TAG_LENGTH, KEY_LENGTH = 100, 500, 6000, 5000, 250
NOT_A_KEY = re.compile(r"[^/\w.\- :]")  # a character that MLflow does not allow in a name
BATCHED = {"params", "metrics", "tags"}  # kinds of records that are sent many at a time


def _key(text: str) -> str:
    return NOT_A_KEY.sub("_", text)[:KEY_LENGTH]


class Pusher:
    """Sends the records of one flow to the flow's runs on one server.

    The flow has a parent run and one run for each stage. Runs that an earlier push created are found by their
    tags; missing runs are created.

    Args:
        server: the tracking server.
        flow_id: identifier of the flow.
    """

    def __init__(self, server: Server, flow_id: str) -> None:
        self.server, self.flow_id = server, flow_id
        self._runs: dict[str | None, str] | None = None
        self._experiment = ""
        self._name = flow_id

    def run_id(self, stage: str | None) -> str | None:
        """Return the run id of a stage, or of the parent run if `stage` is None.

        The result is None if this object has not pushed to that run yet and has not found it.
        """
        return (self._runs or {}).get(stage)

    def push(self, records: list[Record]) -> bool:
        """Send all records in order.

        Returns:
            False if MLflow is switched off or the server fails; then all these records must be pushed again.
        """
        done = self.server.attempt(lambda client: self._push(client, records))
        return done is True

    def _push(self, client: Any, records: list[Record]) -> bool:
        self._name = next((str(record["name"]) for record in records if record["op"] == "flow"), self._name)
        if self._runs is None:
            self._experiment = experiment_id(client, self.server.config, self.server.uri)
            self._runs = self._find(client)
        for (batched, stage), group in groupby(
            records, key=lambda record: (record["op"] in BATCHED, record["stage"])
        ):
            same = list(group)
            run_id = self._run(client, stage, same)
            if batched:
                self._batch(client, run_id, same)
            else:
                for record in same:
                    self._one(client, run_id, record)
        return True

    def _find(self, client: Any) -> dict[str | None, str]:
        """Find the runs of this flow that earlier pushes created.

        Returns:
            Name of the stage → run id; the key None stands for the parent run. If a stage has several runs,
            the oldest is returned.
        """
        found = client.search_runs(
            [self._experiment],
            f"tags.`{FLOW_TAG}` = '{self.flow_id}'",
            order_by=["attributes.start_time DESC"],
            max_results=1000,
        )
        stages = {run.data.tags.get(STAGE_TAG, FLOW): run.info.run_id for run in found}
        return {None if stage == FLOW else stage: run_id for stage, run_id in stages.items()}

    def _run(self, client: Any, stage: str | None, records: list[Record]) -> str:
        """Return the run id of a stage, and create the run if it does not exist.

        Args:
            client: MLflow's client.
            stage: name of the stage; None stands for the parent run.
            records: records of the run; a new run begins at the time of the first one.
        """
        runs = self._runs if self._runs is not None else {}
        if stage not in runs:
            tags = {
                FLOW_TAG: self.flow_id,
                STAGE_TAG: stage or FLOW,
                "mlflow.source.name": "trackpools",
                "mlflow.source.type": "JOB",
            }
            if stage is not None:
                tags["mlflow.parentRunId"] = self._run(client, None, records)
            made = client.create_run(
                self._experiment, start_time=int(records[0]["at"]), tags=tags, run_name=stage or self._name
            )
            runs[stage] = str(made.info.run_id)
        return runs[stage]

    def _batch(self, client: Any, run_id: str, records: list[Record]) -> None:
        from mlflow.entities import Metric, Param, RunTag

        metrics = [
            Metric(_key(k), float(v), r["at"], r["step"])
            for r in records
            if r["op"] == "metrics"
            for k, v in r["values"].items()
        ]
        params = [
            Param(_key(k), str(v)[:VALUE_LENGTH])
            for r in records
            if r["op"] == "params"
            for k, v in r["values"].items()
        ]
        tags = [
            RunTag(_key(k), str(v)[:TAG_LENGTH])
            for r in records
            if r["op"] == "tags"
            for k, v in r["values"].items()
        ]
        for start in range(0, len(metrics), METRICS_PER_REQUEST):
            self._accept(
                lambda part: client.log_batch(run_id, metrics=part),
                metrics[start : start + METRICS_PER_REQUEST],
            )
        for start in range(0, len(params), PARAMS_PER_REQUEST):
            self._accept(
                lambda part: client.log_batch(run_id, params=part), params[start : start + PARAMS_PER_REQUEST]
            )
        for start in range(0, len(tags), PARAMS_PER_REQUEST):
            self._accept(
                lambda part: client.log_batch(run_id, tags=part), tags[start : start + PARAMS_PER_REQUEST]
            )

    def _one(self, client: Any, run_id: str, record: Record) -> None:
        op, at = record["op"], int(record["at"])
        if op == "input":
            self._accept(lambda part: client.log_inputs(run_id, datasets=part), [_dataset(record)])
        elif op == "file":
            path = Path(record["path"])
            if path.is_file():
                self._accept(lambda _: client.log_artifact(run_id, str(path)), [path.name])
            else:
                LOG.warning("the file %s is not tracked, because it no longer exists", path.name)
        elif op in {"flow", "stage"}:
            client.update_run(run_id, status="RUNNING")
        elif op == "end":
            client.set_terminated(run_id, status=record["status"], end_time=at)

    def _accept(self, send: Any, part: list[Any]) -> None:
        """Send entries in one request.

        If MLflow refuses them, each is sent alone, and those that are refused again are skipped with a
        warning.
        """
        try:
            send(part)
        except Exception as error:
            if not refused(error):
                raise
            if len(part) > 1:
                for one in part:
                    self._accept(send, [one])
            else:
                LOG.warning(
                    "MLflow refused %s: %s",
                    getattr(part[0], "key", part[0]),
                    str(error).splitlines()[0][:200],
                )


def _dataset(record: Record) -> Any:
    """Describe a table that a run read, for MLflow.

    Only its name, place and version are given, because MLflow's own Spark dataset would start a Spark job.
    """
    from mlflow.data.delta_dataset_source import DeltaDatasetSource
    from mlflow.data.meta_dataset import MetaDataset
    from mlflow.entities import DatasetInput, InputTag

    where = str(record["where"])
    by_name = re.fullmatch(r"[^/:]+\.[^/:]+\.[^/:]+", where)  # catalog.schema.table, not a path
    # The version is passed as text, because DeltaDatasetSource would leave out the number 0.
    source = DeltaDatasetSource(
        **{"delta_table_name" if by_name else "path": where}, delta_table_version=str(record["version"])
    )
    dataset = MetaDataset(source, name=str(record["table"]))
    return DatasetInput(dataset._to_mlflow_entity(), [InputTag("mlflow.data.context", "input")])

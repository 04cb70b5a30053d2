"""Write fills as traces into MLflow, one span for each step.

Spans hold times, counts and names of constraints. They hold no words of users or models, and no titles.
"""

import contextlib
import hashlib
import json
import logging
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from trackpools.config import Config
from trackpools.shell.fills.filler import ExplainedFill
from trackpools.shell.tracking.mlflow_server import Server, experiment_id
from trackpools.shell.tracking.tracker import QUOTED

LOG = logging.getLogger(__name__)
TYPES = {
    "understand": "PARSER",
    "read by model": "LLM",
    "model": "LLM",
}  # step → its kind of span in MLflow; all other steps are TASK
SCHEMA = "3"  # version of MLflow's format of traces
Attributes = Mapping[str, Any]


@dataclass(frozen=True)
class TraceSpan:
    """A fill or a step of it, with its begin and end in nanoseconds since 1970 and its attributes."""

    name: str
    began: int
    ended: int
    attributes: Attributes


def sampled(request_id: str, share: float) -> bool:
    """Whether a request belongs to the share of requests that are traced.

    This depends only on a hash of the request's id, so every process decides alike.
    """
    return int.from_bytes(hashlib.sha256(request_id.encode()).digest()[:8], "big") < share * 2**64


def later(config: Config, fill: ExplainedFill) -> Callable[[], bool] | None:
    """Return a function that writes the trace of a fill, or None if the fill is not traced.

    Call `later` when the fill has just ended, and the returned function after the playlist is reported.
    """
    if not config.mlflow.enabled or not sampled(fill.playlist.request_id, config.fill.trace):
        return None
    told = spans(fill)
    return lambda: write(config, told)


def spans(fill: ExplainedFill) -> list[TraceSpan]:
    """Build the spans of a fill that has just ended: one of the whole fill, then one for each step.

    Everybody with access to the tracking server can read spans. Therefore this module lists their attributes
    one by one, and none holds text of a user, of a model's answer or of the catalogue.
    """
    clock, now, at = fill.clock, time.time_ns(), time.monotonic()

    def wall(moment: float) -> int:
        return now - round(1e9 * (at - moment))

    steps = dict(_steps(fill))
    parts = [
        TraceSpan(name, wall(start), wall(start) + round(1e6 * clock.steps[name]), steps.get(name, {}))
        for name, start in clock.starts.items()
    ]
    return [TraceSpan("fill", wall(clock.began), now, _whole(fill)), *parts]


def _whole(fill: ExplainedFill) -> Attributes:
    made = fill.playlist
    return {
        "request_id": made.request_id,
        "release": made.release,
        "model": made.model,
        "instructions": made.instructions,
        "candidates": made.candidates,
        "tracks": len(made.tracks),
        "met": [one.name for one in made.told if one.met],
        "unmet": [one.name for one in made.told if not one.met],
        "not_applied": len(made.not_applied),
        "notes": len(made.notes),
        "degraded": QUOTED.sub("…", made.degraded),
        "chosen_by_model": made.chosen_by_model,
        "tokens": made.tokens,
        "cost": made.cost,
    }


def _steps(fill: ExplainedFill) -> Iterator[tuple[str, Attributes]]:
    made, asked = fill.playlist, fill.done.choice
    yield (
        "understand",
        {
            "read": len(fill.understood.parsed.model_dump(exclude_defaults=True)),
            "not_applied": len(made.not_applied),
        },
    )
    read = fill.understood
    yield (
        "read by model",
        {
            "model": made.model,
            "findings": len(read.notes),
            "dropped": read.dropped,
            "tokens": read.tokens,
            "cost": read.cost,
        },
    )
    yield "candidates", {"candidates": made.candidates, "allowed": len(fill.inputs.candidates.allowed)}
    yield (
        "model",
        {
            "model": made.model,
            "shown": asked.shown,
            "answers": len(asked.texts),
            "chosen": len(asked.rows),
            "dropped": dict(asked.dropped),
            "tokens": asked.tokens,
            "cost": asked.cost,
        },
    )


def write(config: Config, told: list[TraceSpan]) -> bool:
    """Write one trace of the spans into the configured experiment; never raises.

    The first span is the parent of the others, and the trace has the id of the request.

    Returns:
        True if the trace was written. False if the tracking server cannot be reached: then a warning is logged,
        and the trace is lost.
    """
    server = Server(config.mlflow, config.store.root)
    request = str(told[0].attributes["request_id"])
    done = server.attempt(
        lambda client: _write(server.uri, experiment_id(client, config.mlflow, server.uri), told)
    )
    if not done:
        LOG.warning("the trace of fill %s is lost", request)
    return bool(done)


def _write(uri: str, experiment: str, told: list[TraceSpan]) -> bool:
    from mlflow.entities import Span as Kept
    from mlflow.entities import TraceData, TraceInfo, TraceLocation, TraceState
    from mlflow.tracing.client import (
        TracingClient,
    )  # the public functions hide failures, and write to the tracking server of the whole process

    whole = told[0]
    request = str(whole.attributes["request_id"])
    trace_id = f"tr-{request.replace('-', '')}"
    tags = {
        "mlflow.traceName": whole.name,
        "trackpools.release_id": whole.attributes["release"],
        "trackpools.degraded": str(bool(whole.attributes["degraded"])).lower(),
    }
    tags |= {f"trackpools.{name}": whole.attributes[name] for name in ("model", "instructions")}
    info = TraceInfo(
        trace_id=trace_id,
        trace_location=TraceLocation.from_experiment_id(experiment),
        request_time=whole.began // 10**6,
        execution_duration=(whole.ended - whole.began) // 10**6,
        state=TraceState.OK,
        client_request_id=request,
        trace_metadata={"mlflow.trace_schema.version": SCHEMA},
        tags=tags,
    )
    kept = [Kept.from_dict(_as_dict(trace_id, number, one)) for number, one in enumerate(told, 1)]
    client = TracingClient(uri)
    if not uri.startswith("databricks"):  # Databricks accepts spans only for tables of Unity Catalog
        with contextlib.suppress(NotImplementedError):  # raised for an older server
            client.log_spans(experiment, kept)
    made = client.start_trace(info)
    if made.tags.get("mlflow.trace.spansLocation") != "TRACKING_STORE":
        client._upload_trace_data(made, TraceData(kept))
    return True


def _as_dict(trace_id: str, number: int, one: TraceSpan) -> dict[str, Any]:
    """Return a span in the form in which MLflow stores it; number 1 is the parent of all others."""
    told = {
        "mlflow.traceRequestId": trace_id,
        "mlflow.spanType": "CHAIN" if number == 1 else TYPES.get(one.name, "TASK"),
    } | dict(one.attributes)
    return {
        "trace_id": trace_id,
        "span_id": f"{number:016x}",
        "parent_span_id": None if number == 1 else f"{1:016x}",
        "name": one.name,
        "events": [],
        "start_time_unix_nano": one.began,
        "end_time_unix_nano": one.ended,
        "status": {"code": "STATUS_CODE_OK", "message": ""},
        "attributes": {key: json.dumps(value, ensure_ascii=False) for key, value in told.items()},
    }

"""Fills as traces in MLflow: a span a step, with times, counts and names of constraints, and no word of a listener, a title or a model."""

import contextlib
import hashlib
import json
import logging
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from trackpools.config import Config
from trackpools.shell.filling import Explained
from trackpools.shell.mlflow_client import Server, experiment_id
from trackpools.shell.tracking import QUOTED

LOG = logging.getLogger(__name__)
TYPES = {
    "understand": "PARSER",
    "read by model": "LLM",
    "model": "LLM",
}  # of MLflow's kinds of spans; the others are tasks
SCHEMA = "3"  # of MLflow's traces
Attributes = Mapping[str, Any]


@dataclass(frozen=True)
class Span:
    """A part of a fill: from when to when, in nanoseconds since 1970, and what can be told of it."""

    name: str
    began: int
    ended: int
    told: Attributes


def sampled(request_id: str, share: float) -> bool:
    """Whether a request is of those that are traced: a lot of its id alone, so the same in every process and at every try."""
    return int.from_bytes(hashlib.sha256(request_id.encode()).digest()[:8], "big") < share * 2**64


def later(config: Config, fill: Explained) -> Callable[[], bool] | None:
    """What writes the trace of a fill that has just ended, for after it was told; None where it is not of those that are traced."""
    if not config.mlflow.enabled or not sampled(fill.playlist.request_id, config.fill.trace):
        return None
    told = spans(fill)
    return lambda: write(config, told)


def spans(fill: Explained) -> list[Span]:
    """The fill and its steps; taken when it has just ended.

    What stands here is told to whoever reads the tracking server, so it is named one by one: nothing that a listener, a model or a catalogue wrote.
    """
    clock, now, at = fill.clock, time.time_ns(), time.monotonic()

    def wall(moment: float) -> int:
        return now - round(1e9 * (at - moment))

    steps = dict(_steps(fill))
    parts = [
        Span(name, wall(start), wall(start) + round(1e6 * clock.steps[name]), steps.get(name, {}))
        for name, start in clock.starts.items()
    ]
    return [Span("fill", wall(clock.began), now, _whole(fill)), *parts]


def _whole(fill: Explained) -> Attributes:
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


def _steps(fill: Explained) -> Iterator[tuple[str, Attributes]]:
    made, asked = fill.playlist, fill.done.asked
    yield (
        "understand",
        {
            "read": len(fill.understood.read.model_dump(exclude_defaults=True)),
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
    yield "candidates", {"candidates": made.candidates, "allowed": len(fill.given.candidates.allowed)}
    yield (
        "model",
        {
            "model": made.model,
            "shown": asked.shown,
            "answers": len(asked.said),
            "chosen": len(asked.rows),
            "dropped": dict(asked.dropped),
            "tokens": asked.tokens,
            "cost": asked.cost,
        },
    )


def write(config: Config, told: list[Span]) -> bool:
    """One trace of the spans, the first around the others, in the configured experiment; its id is that of the request. Raises nothing.

    Returns:
        False where the tracking server is out of reach: then there is a warning, and the trace is lost.
    """
    server = Server(config.mlflow, config.store.root)
    request = str(told[0].told["request_id"])
    done = server.attempt(
        lambda client: _write(server.uri, experiment_id(client, config.mlflow, server.uri), told)
    )
    if not done:
        LOG.warning("the trace of fill %s is lost", request)
    return bool(done)


def _write(uri: str, experiment: str, told: list[Span]) -> bool:
    from mlflow.entities import Span as Kept
    from mlflow.entities import TraceData, TraceInfo, TraceLocation, TraceState
    from mlflow.tracing.client import (
        TracingClient,
    )  # the public ways swallow failures, and go where the whole process tracks

    whole = told[0]
    request = str(whole.told["request_id"])
    trace_id = f"tr-{request.replace('-', '')}"
    tags = {
        "mlflow.traceName": whole.name,
        "trackpools.release_id": whole.told["release"],
        "trackpools.degraded": str(bool(whole.told["degraded"])).lower(),
    }
    tags |= {f"trackpools.{name}": whole.told[name] for name in ("model", "instructions")}
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
    if not uri.startswith("databricks"):  # which takes spans into tables of Unity Catalog only
        with contextlib.suppress(NotImplementedError):  # an older server
            client.log_spans(experiment, kept)
    made = client.start_trace(info)
    if made.tags.get("mlflow.trace.spansLocation") != "TRACKING_STORE":
        client._upload_trace_data(made, TraceData(kept))
    return True


def _as_dict(trace_id: str, number: int, one: Span) -> dict[str, Any]:
    """A span as MLflow stores it; number 1 is the parent of all others."""
    told = {
        "mlflow.traceRequestId": trace_id,
        "mlflow.spanType": "CHAIN" if number == 1 else TYPES.get(one.name, "TASK"),
    } | dict(one.told)
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

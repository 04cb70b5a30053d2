"""A suite's fills row by row in MLflow's evaluation view: each fill a trace, each scorer an assessment of it, by code alone and without a network."""

import contextlib
import io
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from trackpools.config import Config
from trackpools.fill.measures import Outcome
from trackpools.shell.fluent import fluent
from trackpools.shell.mlflow_client import Server, experiment_id

# one writer at a time: ten that wait for sqlite's lock take seven times as long, and rows are read back at once
ALONE = {
    "MLFLOW_GENAI_EVAL_MAX_WORKERS": "1",
    "MLFLOW_GENAI_EVAL_MAX_SCORER_WORKERS": "1",
    "MLFLOW_ENABLE_ASYNC_TRACE_LOGGING": "false",
    "MLFLOW_TRACE_SAMPLING_RATIO": "1.0",
}
Outputs = Mapping[str, Any]
# name → what it says of a fill; a share or a number is averaged over the rows, yes counts as 1
SCORERS: Mapping[str, Callable[[Outputs], bool | float]] = {
    "satisfied": lambda made: not made["unmet"],
    "possible": lambda made: bool(made["possible"]["catalogue"]),
    "understood": lambda made: bool(made["understood"]),
    "closed_world": lambda made: made["outside"] == 0,
    "no_duplicates": lambda made: made["repeated"] == 0,
    "chosen_by_model": lambda made: float(made["by_model"]),
    "milliseconds": lambda made: float(made["milliseconds"]),
}


def assess(config: Config, run_id: str | None, outcomes: Sequence[Outcome], *, of: int) -> str:
    """Each outcome as a row of a run, with its assessments; some 0.3 s each on sqlite. Raises nothing.

    Args:
        of: fills that there were.

    Returns:
        What came of it, for people.
    """
    server = Server(config.mlflow, config.store.root)
    if not config.mlflow.enabled:
        return "no fill is assessed in MLflow: mlflow.enabled is false"
    done = (
        None
        if run_id is None
        else server.attempt(
            lambda client: _assess(
                server.uri, experiment_id(client, config.mlflow, server.uri), run_id, outcomes
            )
        )
    )
    why = done if done is not None else server.down or "it is out of reach"
    return (
        f"no fill is assessed in MLflow: {why}"
        if why
        else f"{len(outcomes):,} of {of:,} fills are assessed one by one in MLflow: traces of run {run_id}"
    )


def _assess(uri: str, experiment: str, run_id: str, outcomes: Sequence[Outcome]) -> str:
    """Why it could not be done; empty where it was."""
    import mlflow
    from mlflow.genai import evaluate

    aside = io.StringIO()  # it prints to both, and --json is one object
    try:
        with (
            fluent(uri, experiment, ALONE),
            contextlib.redirect_stdout(aside),
            contextlib.redirect_stderr(aside),
        ):
            mlflow.tracing.reset()  # else the exporter is that of before, with its own settings
            with mlflow.start_run(run_id=run_id, nested=True, log_system_metrics=False):
                evaluate(data=[_row(one) for one in outcomes], scorers=[_scorer(name) for name in SCORERS])
    except Exception as error:  # figures and fills are tracked without it; the server is there all the same
        return f"{type(error).__name__}: {str(error).splitlines()[0][:200] if str(error) else 'no message'}"
    finally:
        mlflow.tracing.reset()
    return ""


def _row(one: Outcome) -> dict[str, Any]:
    """What was asked, what came of it and what was meant; of whom is nobody's business."""
    unmet = [f"{told.name}: {told.wanted}; {told.got}" for told in one.told if not told.met]
    return {
        "inputs": {"prompt": one.case.prompt, "case": one.case.name},
        "outputs": {
            "unmet": unmet,
            "held": [told.name for told in one.told if told.met],
            "possible": dict(one.possible),
            "understood": one.understood,
            "outside": one.outside,
            "repeated": one.repeated,
            "by_model": one.by_model,
            "milliseconds": one.milliseconds,
            "tokens": one.tokens,
            "cost": one.cost,
            "degraded": one.degraded,
        },
        "expectations": {"wants": one.case.wants.model_dump(mode="json", exclude_defaults=True)},
    }


def _scorer(name: str) -> Any:
    from mlflow.entities import Feedback
    from mlflow.genai.scorers import scorer

    def judge(outputs: Outputs) -> Any:
        return Feedback(
            value=SCORERS[name](outputs),
            rationale="; ".join(outputs["unmet"]) or None if name == "satisfied" else None,
        )

    return scorer(judge, name=name, aggregations=["mean"])

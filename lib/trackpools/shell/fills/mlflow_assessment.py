"""Show the fills of a suite of prompts one by one in MLflow's evaluation view.

Each fill becomes a trace. Scorers assess each fill. They are functions of this module, not language models,
so they need no network.
"""

import contextlib
import io
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from trackpools.config import Config
from trackpools.fill.suite.measures import Outcome
from trackpools.shell.tracking.mlflow_globals import mlflow_target
from trackpools.shell.tracking.mlflow_server import Server, experiment_id

# MLflow's settings while it assesses. One thread writes, because ten threads that wait for the lock of sqlite
# take seven times as long. Traces are not written asynchronously, because MLflow reads them back at once.
ONE_WRITER = {
    "MLFLOW_GENAI_EVAL_MAX_WORKERS": "1",
    "MLFLOW_GENAI_EVAL_MAX_SCORER_WORKERS": "1",
    "MLFLOW_ENABLE_ASYNC_TRACE_LOGGING": "false",
    "MLFLOW_TRACE_SAMPLING_RATIO": "1.0",
}
Outputs = Mapping[str, Any]
# Name of the scorer → function from the `outputs` of `_row` to the scorer's value. MLflow averages the values
# over the fills, with True as 1.
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
    """Write each outcome, with its assessments, as a trace of a run; no error is raised.

    One outcome takes about 0.3 s on sqlite.

    Args:
        config: the configuration.
        run_id: the run in MLflow; None if there is none.
        outcomes: the outcomes to write.
        of: the number of all fills of the suite, for the returned sentence.

    Returns:
        A sentence that says how many fills were written, or why none was.
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
    why = done if done is not None else server.down or "the server cannot be reached"
    return (
        f"no fill is assessed in MLflow: {why}"
        if why
        else f"{len(outcomes):,} of {of:,} fills are assessed one by one in MLflow, in the traces of run {run_id}"
    )


def _assess(uri: str, experiment: str, run_id: str, outcomes: Sequence[Outcome]) -> str:
    """Write the outcomes; return why this failed, or an empty text if it succeeded."""
    import mlflow
    from mlflow.genai import evaluate

    aside = io.StringIO()  # takes what MLflow prints, because --json must print one object only
    try:
        with (
            mlflow_target(uri, experiment, ONE_WRITER),
            contextlib.redirect_stdout(aside),
            contextlib.redirect_stderr(aside),
        ):
            mlflow.tracing.reset()  # otherwise MLflow keeps an earlier exporter, with other settings
            with mlflow.start_run(run_id=run_id, nested=True, log_system_metrics=False):
                evaluate(data=[_row(one) for one in outcomes], scorers=[_scorer(name) for name in SCORERS])
    except Exception as error:  # this view is optional: measures and fills are tracked without it
        return f"{type(error).__name__}: {str(error).splitlines()[0][:200] if str(error) else 'no message'}"
    finally:
        mlflow.tracing.reset()
    return ""


def _row(one: Outcome) -> dict[str, Any]:
    """Build MLflow's row of an outcome: the prompt, the result, and the constraints that the prompt means.

    The user is left out.
    """
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

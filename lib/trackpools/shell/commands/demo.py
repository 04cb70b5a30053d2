"""The command `trackpools demo --full`: train a weak model, search for a better one and promote it.

Every step does the work of one command. The answer shows these commands, so that you can type them yourself.
"""

from collections.abc import Callable

from trackpools import stages as s
from trackpools.config import Config
from trackpools.config.loading import load_config
from trackpools.errors import ModelError
from trackpools.shell.command import CommandResult, Options, TextTable
from trackpools.shell.commands import pipeline
from trackpools.shell.pipeline.sandbox import days_before, last_moment
from trackpools.shell.spark.session import spark_session
from trackpools.shell.store.store import Store

# The demo has few users, so periods of measurement are short, and groups of 100 users are judged already. The
# first model is trained with the settings HURRY, so that the search can find better ones.
DEMO = (
    "holdout.days=14",
    "promote.min_users=100",
    "promote.slice_margin=0.25",
    "promote.metric=new_recall@100",
    "tune.minutes=10",
)
HURRY = ("train.rank=2", "train.iterations=2", "sources.als.weight=1.0")
TRIALS = 8


def full_demo(options: Options, *, trials: int = TRIALS) -> CommandResult:
    """Run all steps and return one answer.

    If the second model does not pass the gates of `promote`, the answer says so and the first release stays in
    force.

    Args:
        options: Options of the command line.
        trials: Number of trials of each search.
    """

    def settings(*more: str, file: str | None = options.config) -> Config:
        return load_config(file, [*DEMO, f"tune.trials={trials}", *more, *options.settings], options.root)

    hurried = settings(*HURRY)
    lines: list[str | TextTable] = []

    def step(title: str, done: Callable[[], CommandResult]) -> CommandResult:
        lines.extend(["", f"── {title}"])
        answer = done()
        # a hint at the next command is left out, since the demo runs that command itself
        lines.extend(line for line in answer.lines if not str(line).startswith("next"))
        return answer

    step("trackpools import synthetic", lambda: pipeline.import_log(hurried, options, "synthetic", None))
    day = days_before(
        last_moment(Store(spark_session(hurried.session), hurried.store), None), hurried.holdout.days
    ).isoformat()
    first = step(
        f"trackpools run --as-of {day}   (a first model, with quick settings: {', '.join(HURRY)})",
        lambda: pipeline.run_stages(
            hurried, options, "run", s.STAGES, publish=True, as_of=day, known_as_of=None
        ),
    )
    from trackpools.shell.tuning.search import tune

    found = step("trackpools tune", lambda: tune(hurried, options, until=None, fresh=False))
    tuned = settings(file=found.more["config"]) if found.more["config"] else hurried
    step(
        f"trackpools train, pools --config tuned.yml --as-of {day}",
        lambda: pipeline.run_stages(
            tuned, options, "train", s.STAGES, publish=False, as_of=day, known_as_of=None
        ),
    )
    try:
        last = step("trackpools promote --config tuned.yml", lambda: pipeline.promote(tuned, options))
    except ModelError as error:
        last = first
        lines.extend([error.message, *error.problems])
    more = {
        "promoted": last.release_id != first.release_id,
        "tuned": found.more["settings"],
        "gates": last.more.get("gates", []),
    }
    lines = [*lines[1:], "", last.lines[-1]]
    return CommandResult(
        release_id=last.release_id,
        tables=last.tables,
        mlflow_run_id=last.mlflow_run_id,
        warnings=last.warnings,
        lines=lines,
        more=more,
    )

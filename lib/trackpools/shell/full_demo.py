"""`trackpools demo --full`: a first model in a hurry, a search for a better one, and its promotion: every step is the command that one would type."""

from collections.abc import Callable
from typing import Any

from trackpools import stages as s
from trackpools.config import Config
from trackpools.errors import ModelError
from trackpools.shell import work
from trackpools.shell.command import Answer, Options
from trackpools.shell.session import spark_session
from trackpools.shell.settings import load_config
from trackpools.shell.side import days_before, last_moment
from trackpools.shell.store import Store

# a demo's listeners are few, so windows are short and slices of a hundred are judged; how its first model is made is what the search has to beat
DEMO = (
    "holdout.days=14",
    "promote.min_users=100",
    "promote.slice_margin=0.25",
    "promote.metric=new_recall@100",
    "tune.minutes=10",
)
HURRY = ("train.rank=2", "train.iterations=2", "sources.als.weight=1.0")
TRIALS = 8


def full_demo(options: Options, *, trials: int = TRIALS) -> Answer:
    """All of it, one answer; a challenger that does not hold is told and leaves the first release in force."""

    def settings(*more: str, file: str | None = options.config) -> Config:
        return load_config(file, [*DEMO, f"tune.trials={trials}", *more, *options.settings], options.root)

    hurried = settings(*HURRY)
    lines: list[Any] = []

    def step(title: str, done: Callable[[], Answer]) -> Answer:
        lines.extend(["", f"── {title}"])
        answer = done()
        # what a step says to do next is done next
        lines.extend(line for line in answer.lines if not str(line).startswith("next"))
        return answer

    step("trackpools import synthetic", lambda: work.import_log(hurried, options, "synthetic", None))
    day = days_before(
        last_moment(Store(spark_session(hurried.session), hurried.store), None), hurried.holdout.days
    ).isoformat()
    first = step(
        f"trackpools run --as-of {day}   (a first model, in a hurry: {', '.join(HURRY)})",
        lambda: work.run_stages(hurried, options, "run", s.STAGES, publish=True, as_of=day, known_as_of=None),
    )
    from trackpools.shell.searching import tune

    found = step("trackpools tune", lambda: tune(hurried, options, until=None, fresh=False))
    tuned = settings(file=found.more["config"]) if found.more["config"] else hurried
    step(
        f"trackpools train, pools --config tuned.yml --as-of {day}",
        lambda: work.run_stages(
            tuned, options, "train", s.STAGES, publish=False, as_of=day, known_as_of=None
        ),
    )
    try:
        last = step("trackpools promote --config tuned.yml", lambda: work.promote(tuned, options))
    except ModelError as error:
        last = first
        lines.extend([error.message, *error.problems])
    more = {
        "promoted": last.release_id != first.release_id,
        "tuned": found.more["settings"],
        "gates": last.more.get("gates", []),
    }
    lines = [*lines[1:], "", last.lines[-1]]
    return Answer(
        release_id=last.release_id,
        tables=last.tables,
        mlflow_run_id=last.mlflow_run_id,
        warnings=last.warnings,
        lines=lines,
        more=more,
    )

"""Benchmark of all stages, from a synthetic world to a release: plays for each second, in each stage."""

from collections.abc import Callable

from trackpools.config import Config
from trackpools.shell.bench.claims import Measured, Size
from trackpools.shell.bench.world import generated
from trackpools.shell.command import Options
from trackpools.shell.commands import pipeline
from trackpools.stages import STAGES


def measure(config: Config, size: Size, rounds: int, progress: Callable[[str], None]) -> Measured:
    """Run the whole flow in each round.

    There is no ratio, because no other program does the same work. The figures show in which stages a run
    spends its time.

    Returns:
        Figures: the number of accepted plays, and for each stage that number ÷ the stage's seconds.
    """
    (users, recordings), days = size.of((20_000, 20_000), (2_000, 20_000)), 60 if size.quick else 180
    found = Measured([])
    for number in range(1, rounds + 1):
        progress(f"round {number}: {users:,} users over {days} days")
        with generated(config, users=users, days=days, tracks=recordings) as own:
            plays = found.note(
                "plays", pipeline.import_log(own, Options(quiet=True), "synthetic", None).more["accepted"]
            )
            answer = pipeline.run_stages(
                own, Options(quiet=True), "run", STAGES, publish=True, as_of=None, known_as_of=None
            )
            for stage in answer.more["stages"]:
                found.note(f"{stage['stage']}, plays/s", plays / stage["seconds"])
    return found

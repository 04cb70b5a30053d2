"""Plays a second of every stage of the flow, from a generated world to a published release."""

from collections.abc import Callable

from trackpools.config import Config
from trackpools.shell import work
from trackpools.shell.bench import Measured, Size
from trackpools.shell.bench.world import generated
from trackpools.shell.command import Options
from trackpools.stages import STAGES


def measure(config: Config, size: Size, rounds: int, tell: Callable[[str], None]) -> Measured:
    """No peer does the same, so there is no ratio; the rates say where a run spends its time."""
    (users, recordings), days = size.of((20_000, 20_000), (2_000, 20_000)), 60 if size.quick else 180
    found = Measured([])
    for number in range(1, rounds + 1):
        tell(f"round {number}: {users:,} listeners over {days} days")
        with generated(config, users=users, days=days, tracks=recordings) as own:
            plays = found.note(
                "plays", work.import_log(own, Options(quiet=True), "synthetic", None).more["accepted"]
            )
            answer = work.run_stages(
                own, Options(quiet=True), "run", STAGES, publish=True, as_of=None, known_as_of=None
            )
            for stage in answer.more["stages"]:
                found.note(f"{stage['stage']}, plays/s", plays / stage["seconds"])
    return found

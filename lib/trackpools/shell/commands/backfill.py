"""The command `trackpools run --from --to`: publish releases of past days on the channel `backfill`.

By default, readers do not follow this channel, so they do not see these releases.
"""

from datetime import datetime, timedelta

from trackpools.config import Config
from trackpools.core.serving.channels import BACKFILL
from trackpools.errors import ConfigError
from trackpools.shell.command import CommandResult, Options
from trackpools.shell.commands.pipeline import run_stages
from trackpools.shell.measurement import costs
from trackpools.shell.pipeline.open_flow import open_flow
from trackpools.shell.store.time_travel import parse_time
from trackpools.stages import STAGES

MAX_RELEASES = 1000  # most releases in one call


def moments(start: str, end: str, every: int) -> list[datetime]:
    """Return the moments from `start` to `end`, both included, `every` days apart.

    Raises:
        ConfigError: If `end` is before `start`, or there would be more than 1,000 moments.
    """
    first, last = parse_time(start, "--from"), parse_time(end, "--to")
    if last < first:
        raise ConfigError(f"--to must not be before --from; got {start!r:.40} to {end!r:.40}")
    count = (last - first) // timedelta(days=every) + 1
    if count > MAX_RELEASES:
        raise ConfigError(
            f"{count:,} releases are too many for one command (at most {MAX_RELEASES:,}); increase --every or shorten the period"
        )
    return [first + timedelta(days=every * i) for i in range(count)]


def backfill(
    config: Config, options: Options, start: str, end: str, every: int, *, budget: float | None = None
) -> CommandResult:
    """Run all stages and publish a release for each moment, with only the plays known at that moment.

    The release that readers follow does not change.

    Args:
        config: The merged configuration.
        options: Options of the command line.
        start: First moment, ISO 8601.
        end: Last moment, ISO 8601.
        every: Days between two moments.
        budget: The most that all runs together may cost, in `cost.currency`; None is no limit.

    Raises:
        ConfigError: If the moments are not valid, or the runs would cost more than the budget.
    """
    lines, made, warnings = [], [], []
    days = moments(start, end, every)
    if budget is not None:
        with open_flow(config, options, "backfill", 1) as flow:
            costs.require_within(flow, budget, [stage.name for stage in STAGES], len(days))
    for at in days:
        answer = run_stages(
            config,
            options,
            "run",
            STAGES,
            publish=True,
            as_of=at.isoformat(),
            known_as_of=None,
            channel=BACKFILL,
        )
        lines.append(f"as of {at:%Y-%m-%d %H:%M}: release {answer.release_id}")
        made.append({"as_of": at.isoformat(), "release_id": answer.release_id, "tables": answer.tables})
        warnings += answer.warnings
    where = f" --root {options.root}" if options.root else ""
    said = f"{len(days)} releases are on the channel backfill; readers follow the same release as before"
    return CommandResult(
        release_id=None,
        warnings=warnings,
        lines=[*lines, said, f"next: trackpools releases{where}"],
        more={"backfill": made},
    )

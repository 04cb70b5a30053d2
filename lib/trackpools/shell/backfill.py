"""`trackpools run --from --to`: releases of days gone by, on a channel that no reader follows."""

from datetime import datetime, timedelta

from trackpools.config import Config
from trackpools.core.channels import BACKFILL
from trackpools.errors import ConfigError
from trackpools.shell import costs
from trackpools.shell.command import Answer, Options
from trackpools.shell.moment import parse_time
from trackpools.shell.opening import opened
from trackpools.shell.work import run_stages
from trackpools.stages import STAGES

MOST = 1000  # releases of one call


def moments(start: str, end: str, every: int) -> list[datetime]:
    """From start to end, both included, so many days apart.

    Raises:
        ConfigError: where there is no day between them, or more than 1,000.
    """
    first, last = parse_time(start, "--from"), parse_time(end, "--to")
    if last < first:
        raise ConfigError(f"--to must not lie before --from; got {start!r:.40} to {end!r:.40}")
    count = (last - first) // timedelta(days=every) + 1
    if count > MOST:
        raise ConfigError(
            f"{count:,} releases are too many for one call (at most {MOST:,}); raise --every or shorten the time"
        )
    return [first + timedelta(days=every * i) for i in range(count)]


def backfill(
    config: Config, options: Options, start: str, end: str, every: int, *, budget: float | None = None
) -> Answer:
    """The whole flow as of each moment, knowing what was known then; the release that readers follow stays as it is.

    Args:
        budget: in money, for all of it; see `costs.require_within`.
    """
    lines, made, warnings = [], [], []
    days = moments(start, end, every)
    if budget is not None:
        with opened(config, options, "backfill", 1) as flow:
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
    said = f"{len(days)} releases on the channel backfill; readers follow what they did"
    return Answer(
        release_id=None,
        warnings=warnings,
        lines=[*lines, said, f"next: trackpools releases{where}"],
        more={"backfill": made},
    )

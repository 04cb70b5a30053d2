"""The result of a benchmark (ratios with their goals, and figures), and the size at which it runs."""

import statistics
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Ratio:
    """A claim: a number, mostly the quotient of two measurements, and the goal that it should reach.

    Attributes:
        name: What is measured, or what is divided by what.
        goal: The limit for the median of the values.
        at_most: Whether the goal is an upper limit; otherwise it is a lower limit.
        values: The measured values, mostly one for each round.
    """

    name: str
    goal: float
    at_most: bool = False
    values: list[float] = field(default_factory=list)

    def summary(self) -> dict[str, Any]:
        """Summarise the values.

        Returns:
            `min`, `median` and `max` of the values to three decimals; `goal`, as text; and `holds`, whether the
            median reaches the goal.

        Raises:
            statistics.StatisticsError: If there are no values.
        """
        median = statistics.median(self.values)
        holds = median <= self.goal if self.at_most else median >= self.goal
        rounded = {
            name: round(value, 3)
            for name, value in (("min", min(self.values)), ("median", median), ("max", max(self.values)))
        }
        return rounded | {"goal": f"{'≤' if self.at_most else '≥'} {self.goal}", "holds": holds}


@dataclass
class Measured:
    """The result of a benchmark.

    Attributes:
        ratios: The claims.
        figures: The measurements behind and beside the ratios, by name; mostly one value for each round.
    """

    ratios: list[Ratio]
    figures: dict[str, list[float]] = field(default_factory=dict)

    def note(self, name: str, value: float) -> float:
        """Add the value of one round to the figure `name`, and return the value."""
        self.figures.setdefault(name, []).append(value)
        return value


@dataclass(frozen=True)
class Size:
    """The size of a benchmark: its own full size, its small size (`--quick`), or given numbers.

    Attributes:
        quick: Whether to use the small size.
        users: The number of users; None uses the benchmark's own.
        recordings: The number of recordings; None uses the benchmark's own.
    """

    quick: bool = False
    users: int | None = None
    recordings: int | None = None

    def of(self, full: tuple[int, int], small: tuple[int, int]) -> tuple[int, int]:
        """Return the numbers of users and recordings.

        Args:
            full: The benchmark's own (users, recordings) for its full size.
            small: The benchmark's own (users, recordings) for `--quick`.
        """
        users, recordings = small if self.quick else full
        return self.users or users, self.recordings or recordings

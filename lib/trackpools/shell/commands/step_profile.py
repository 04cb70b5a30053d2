"""Measure how long each step of a flow takes, and how many jobs Spark ran for it."""

import time
from dataclasses import dataclass, field, replace
from typing import Any

from pyspark.sql import SparkSession

from trackpools.shell.command import CommandResult, TextTable
from trackpools.shell.pipeline.runner import Flow
from trackpools.shell.spark.context import jobs


@dataclass
class StepProfile:
    """The steps of a flow so far; the first one, `start`, begins when this object is created.

    Attributes:
        steps: name, seconds and number of Spark jobs of each step that has ended.
    """

    steps: list[tuple[str, float, int]] = field(default_factory=list)
    _name: str = "start"
    _began: float = field(default_factory=time.monotonic)
    _earlier_jobs: int = 0

    def follow(self, flow: Flow) -> None:
        """Let each line of progress of the flow, which is `step: what it does`, begin the next step."""
        show = flow.progress

        def begin_step(line: str) -> None:
            self.end(flow.spark, line.partition(":")[0])
            show(line)

        flow.progress = begin_step

    def end(self, spark: SparkSession, next_name: str = "") -> None:
        """End the present step and begin the next one."""
        now, so_far = time.monotonic(), jobs(spark)
        self.steps.append((self._name, now - self._began, so_far - self._earlier_jobs))
        self._name, self._began, self._earlier_jobs = next_name, now, so_far

    def table(self) -> TextTable:
        """Return a table for people: step, seconds, Spark jobs, and the share of all seconds."""
        whole = sum(seconds for _, seconds, _ in self.steps)
        rows = [
            (name, f"{seconds:.1f}", str(count), f"{seconds / whole:.0%}")
            for name, seconds, count in self.steps
        ]
        total = ("all", f"{whole:.1f}", str(sum(count for *_, count in self.steps)), "100%")
        return TextTable(("step", "seconds", "Spark jobs", "share"), [*rows, total])

    def added_to(self, answer: CommandResult, spark: SparkSession) -> CommandResult:
        """End the last step, and return the answer with the steps, before its line on what to do next."""
        self.end(spark)
        return replace(
            answer,
            lines=[*answer.lines[:-1], self.table(), answer.lines[-1]],
            more={**answer.more, "profile": self.as_json()},
        )

    def as_json(self) -> list[dict[str, Any]]:
        """Return the steps for `--json`."""
        return [
            {"step": name, "seconds": round(seconds, 3), "jobs": count} for name, seconds, count in self.steps
        ]

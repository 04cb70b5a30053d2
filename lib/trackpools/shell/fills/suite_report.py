"""Build the answer of `trackpools eval-fill`: the measures as text and as JSON."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict

from trackpools.fill.suite.measures import Audit, SuiteMeasure
from trackpools.shell.command import CommandResult, TextTable

SHARES = (
    "satisfied",
    "satisfied_of_possible",
    "understood",
    "possible_pool",
    "possible_retrieval",
    "possible_catalogue",
)


def report(
    found: Sequence[SuiteMeasure], bias: Audit | None, fills: int, left: Sequence[str]
) -> CommandResult:
    """Build the answer: shares for each family of prompts, constraints that fills missed, times and costs.

    Args:
        found: all measures.
        bias: the result of the audit; None if there was none.
        fills: number of fills.
        left: one message for each prompt that was left out.
    """
    by = {(one.name, one.of): one for one in found}
    rows = []
    for of in dict.fromkeys(one.of for one in found if one.of == "all" or one.of.startswith("family=")):
        cells = [_shown(by[name, of]) for name in SHARES]
        rows.append((of.removeprefix("family="), f"{by['satisfied', of].count:,}", *cells))
    columns = ("prompts", "fills", *(name.replace("_", " ") for name in SHARES))
    lines: list[str | TextTable] = [TextTable(columns, rows)]
    lines += [
        f"{one.of.removeprefix('constraint=')}: held in {_shown(one)} of {one.count:,} fills"
        for one in found
        if one.name == "met" and one.value < 1
    ]
    lines += [_took(by, fills), *([_ordered(bias)] if bias is not None else [])]
    if left:
        lines.append(
            f"{len(left)} prompts were left out: {'; '.join(left[:3])}{' …' if len(left) > 3 else ''}"
        )
    return CommandResult(
        lines=lines,
        more={
            "measures": [asdict(each) for each in found],
            "left_out": list(left),
            "biased": None if bias is None else bias.biased,
        },
    )


def _took(by: Mapping[tuple[str, str], SuiteMeasure], fills: int) -> str:
    def of(name: str) -> float:
        return by[name, "all"].value

    chosen = f"{of('chosen_by_model'):.0%} of tracks chosen by the model, {of('degraded'):.0%} degraded"
    made = f"{of('moved'):.0%} moved from the pool's order, {of('artists_a_track'):.2f} artists per track"
    spent = f"{of('tokens'):,.0f} tokens and a cost of {of('cost'):.6f} per fill"
    return f"{fills:,} fills: {of('milliseconds_p50'):.0f} ms (median), {of('milliseconds_p99'):.0f} ms (p99); {chosen}; {made}; {spent}"


def _ordered(bias: Audit) -> str:
    place, said = bias.place, "BIASED: the model chooses by place" if bias.biased else "no bias was found"
    mean = f"mean place {place.value:.2f} ({place.low:.2f} to {place.high:.2f}, 0.5 is even)"
    return f"order: {said}; {mean}, two orders agree on {bias.agreement:.0%}, by chance on {bias.chance:.0%}"


def _shown(one: SuiteMeasure) -> str:
    return "–" if one.count == 0 else f"{one.value:.0%} ({one.low:.0%} to {one.high:.0%})"

"""What a suite of fills showed, for people and for scripts."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from rich.table import Table as Grid

from trackpools.fill.measures import Audit, Measure
from trackpools.shell.command import Answer

SHARES = (
    "satisfied",
    "satisfied_of_possible",
    "understood",
    "possible_pool",
    "possible_retrieval",
    "possible_catalogue",
)


def report(found: Sequence[Measure], bias: Audit | None, fills: int, left: Sequence[str]) -> Answer:
    """Families by shares, constraints by how many fills hold them, and what it took."""
    by = {(one.name, one.of): one for one in found}
    grid = Grid("prompts", "fills", *(name.replace("_", " ") for name in SHARES))
    for of in dict.fromkeys(one.of for one in found if one.of == "all" or one.of.startswith("family=")):
        cells = [_shown(by[name, of]) for name in SHARES]
        grid.add_row(of.removeprefix("family="), f"{by['satisfied', of].count:,}", *cells)
    lines: list[Any] = [grid]
    lines += [
        f"{one.of.removeprefix('constraint=')}: held in {_shown(one)} of {one.count:,} fills"
        for one in found
        if one.name == "met" and one.value < 1
    ]
    lines += [_took(by, fills), *([_ordered(bias)] if bias is not None else [])]
    if left:
        lines.append(f"{len(left)} prompts left out: {'; '.join(left[:3])}{' …' if len(left) > 3 else ''}")
    return Answer(
        lines=lines,
        more={
            "measures": [asdict(each) for each in found],
            "left_out": list(left),
            "biased": None if bias is None else bias.biased,
        },
    )


def _took(by: Mapping[tuple[str, str], Measure], fills: int) -> str:
    def of(name: str) -> float:
        return by[name, "all"].value

    chosen = f"{of('chosen_by_model'):.0%} of tracks chosen by the model, {of('degraded'):.0%} degraded"
    made = f"{of('moved'):.0%} moved from the pool's order, {of('artists_a_track'):.2f} artists a track"
    spent = f"{of('tokens'):,.0f} tokens and {of('cost'):.6f} a fill"
    return f"{fills:,} fills: {of('milliseconds_p50'):.0f} ms (median), {of('milliseconds_p99'):.0f} ms (p99); {chosen}; {made}; {spent}"


def _ordered(bias: Audit) -> str:
    place, said = bias.place, "BIASED: it chooses by place" if bias.biased else "no bias shown"
    mean = f"mean place {place.value:.2f} ({place.low:.2f} to {place.high:.2f}, 0.5 is even)"
    return f"order: {said}; {mean}, two orders agree on {bias.agreement:.0%}, chance {bias.chance:.0%}"


def _shown(one: Measure) -> str:
    return "–" if one.count == 0 else f"{one.value:.0%} ({one.low:.0%} to {one.high:.0%})"

"""May a challenger replace the champion? Gates: a gain that is shown on the same users, no part of the audience left behind, and what must never be."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from trackpools.config_model import CanaryConfig, PromoteConfig


@dataclass(frozen=True)
class Paired:
    """A metric of both on the same users, in one slice.

    Attributes:
        champion, challenger: means.
        low, high: ends of the interval of their difference.
    """

    slice: str
    users: int
    champion: float
    challenger: float
    low: float
    high: float


@dataclass(frozen=True)
class Gate:
    """What was asked, what was found, and whether it holds; `needed` is the least, or where `most` the greatest, that passes."""

    name: str
    found: float
    needed: float
    passed: bool
    said: str


def gates(
    config: PromoteConfig, overall: Paired, parts: Sequence[Paired], of_lists: Mapping[str, float]
) -> list[Gate]:
    """Every gate with its verdict; a promotion needs all.

    The gain is shown where the lower end of the difference's interval is above `min_effect`: of two equal models one passes (1 − level) / 2 of the time.
    A slice is safe where that lower end is above −margin × the champion's mean: that all slices must be needs no correction for their number (an
    intersection-union test, Berger 1982). Slices with fewer than `min_users` users are not judged, and said.

    Args:
        of_lists: `coverage_ratio`, `overlap` and `rights_violations`.
    """
    shown = f"{overall.champion:.4f} → {overall.challenger:.4f}, difference {overall.low:+.4f} to {overall.high:+.4f} on {overall.users:,} users"
    told = [
        Gate(
            "effect",
            overall.low,
            config.min_effect,
            overall.users > 0 and overall.low > config.min_effect,
            f"{config.metric}: {shown}",
        )
    ]
    judged = [part for part in parts if part.users >= config.min_users]
    small = (
        f"; {len(parts) - len(judged)} slices under {config.min_users} users not judged"
        if len(parts) > len(judged)
        else ""
    )
    worst = min(judged, key=_room, default=None)
    if worst is None:
        told.append(
            Gate(
                "worst_slice",
                0.0,
                -config.slice_margin,
                passed=False,
                said=f"no slice has {config.min_users} users; lower promote.min_users",
            )
        )
    else:
        room = _room(worst)
        said = f"{worst.slice}: {worst.champion:.4f} → {worst.challenger:.4f}, difference {worst.low:+.4f} to {worst.high:+.4f} on {worst.users:,} users{small}"
        told.append(Gate("worst_slice", room, -config.slice_margin, room > -config.slice_margin, said))
    for name, least in (("coverage_ratio", config.min_coverage), ("overlap", config.min_overlap)):
        told.append(
            Gate(name, of_lists[name], least, of_lists[name] >= least, SAID[name].format(of_lists[name]))
        )
    broken = of_lists["rights_violations"]
    return [
        *told,
        Gate("rights_violations", broken, 0.0, broken == 0, SAID["rights_violations"].format(broken)),
    ]


def guardrails(
    config: CanaryConfig, promote: PromoteConfig, of_lists: Mapping[str, float], outcome: Paired | None
) -> list[Gate]:
    """What a canary must keep to; it ends where any does not hold.

    Its listeners' loss must not be shown: it ends where even the upper end of the difference's interval is below −max_loss × the champion's mean.

    Args:
        of_lists: `fill_ratio, more_short, coverage_ratio, overlap, rights_violations`.
        outcome: what its listeners then heard; None while they heard nothing yet.
    """
    asked = {
        "fill_ratio": config.min_fill,
        "coverage_ratio": promote.min_coverage,
        "overlap": promote.min_overlap,
    }
    told = [
        Gate(name, of_lists[name], least, of_lists[name] >= least, SAID[name].format(of_lists[name]))
        for name, least in asked.items()
    ]
    for name, most in (("more_short", config.max_short), ("rights_violations", 0.0)):
        told.append(
            Gate(name, of_lists[name], most, of_lists[name] <= most, SAID[name].format(of_lists[name]))
        )
    if outcome is not None:
        room = outcome.high / outcome.champion if outcome.champion > 0 else 0.0
        shown = f"{outcome.champion:.4f} → {outcome.challenger:.4f}, difference {outcome.low:+.4f} to {outcome.high:+.4f} on {outcome.users:,} users"
        told.append(
            Gate("loss", room, -config.max_loss, room >= -config.max_loss, f"{promote.metric}: {shown}")
        )
    return told


SAID = {
    "fill_ratio": "pools are {:.3f} × as full as the champion's",
    "more_short": "{:+.2%} more of its pools are short",
    "rights_violations": "{:,.0f} recordings offered where they may not be played",
    "coverage_ratio": "recordings that any pool holds, {:.3f} × the champion's",
    "overlap": "of a pool of the champion's, {:.3f} is in the challenger's",
}


def _room(part: Paired) -> float:
    """The lower end as a share of the champion's mean; of a champion that finds nothing, no loss."""
    return part.low / part.champion if part.champion > 0 else max(part.low, 0.0)

"""Gates that decide whether a challenger may replace the champion, the model of the release in force.

The challenger must gain significantly on the same users, and must not lose too much in any slice of the
users. Its pools must hold enough distinct recordings and enough recordings of the champion's pools, and must
not violate rights. A running canary is judged by similar checks, the guardrails.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from trackpools.config.evaluation import CanaryConfig, PromoteConfig


@dataclass(frozen=True)
class PairedMetric:
    """One metric of champion and challenger, on the same users of one slice.

    Attributes:
        slice: name of the slice; `all` for all users.
        users: number of users.
        champion, challenger: means of the metric.
        low, high: ends of the confidence interval of the difference challenger − champion.
    """

    slice: str
    users: int
    champion: float
    challenger: float
    low: float
    high: float


@dataclass(frozen=True)
class Gate:
    """The verdict of one gate or guardrail.

    Attributes:
        name: name of the gate.
        found: the measured value.
        needed: the bound of `found`: the greatest allowed value for `more_short` and `rights_violations`, and
            the lowest allowed value for all other gates. For `effect` and `worst_slice`, `found` must be
            above the bound.
        passed: whether `found` keeps the bound.
        said: the finding as text for the summary of the command.
    """

    name: str
    found: float
    needed: float
    passed: bool
    said: str


def evaluate_gates(
    config: PromoteConfig, overall: PairedMetric, parts: Sequence[PairedMetric], of_lists: Mapping[str, float]
) -> list[Gate]:
    """Judge every gate of a promotion; a promotion needs all of them to pass.

    The gate `effect` passes if the lower end of the interval of the difference (challenger − champion) is
    above `min_effect`. If `min_effect` is 0, a challenger that equals the champion passes in (1 − level) / 2
    of all cases. The gate `worst_slice` passes if, in every slice, the lower end is above −slice_margin × the
    champion's mean. Because every slice must pass, no correction for the number of slices is needed (an
    intersection-union test, Berger 1982). Slices with fewer than `min_users` users are not judged; the text
    of the gate reports their number. If no slice is judged, the gate fails.

    Args:
        config: thresholds of the gates.
        overall: the metric over all users.
        parts: the metric in each slice.
        of_lists: values of `coverage_ratio`, `overlap` and `rights_violations`; see `GATE_MESSAGES`.

    Returns:
        One gate for each of `effect`, `worst_slice`, `coverage_ratio`, `overlap` and `rights_violations`.
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
        f"; {len(parts) - len(judged)} slices with fewer than {config.min_users} users are not judged"
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
                said=f"no slice has at least {config.min_users} users; lower promote.min_users",
            )
        )
    else:
        room = _room(worst)
        said = f"{worst.slice}: {worst.champion:.4f} → {worst.challenger:.4f}, difference {worst.low:+.4f} to {worst.high:+.4f} on {worst.users:,} users{small}"
        told.append(Gate("worst_slice", room, -config.slice_margin, room > -config.slice_margin, said))
    for name, least in (("coverage_ratio", config.min_coverage), ("overlap", config.min_overlap)):
        told.append(
            Gate(
                name,
                of_lists[name],
                least,
                of_lists[name] >= least,
                GATE_MESSAGES[name].format(of_lists[name]),
            )
        )
    broken = of_lists["rights_violations"]
    return [
        *told,
        Gate(
            "rights_violations", broken, 0.0, broken == 0, GATE_MESSAGES["rights_violations"].format(broken)
        ),
    ]


def guardrails(
    config: CanaryConfig, promote: PromoteConfig, of_lists: Mapping[str, float], outcome: PairedMetric | None
) -> list[Gate]:
    """Judge every guardrail of a running canary; the canary ends if any of them fails.

    The guardrail `loss` fails if even the upper end of the interval of the difference (challenger − champion)
    is below −max_loss × the champion's mean. In that case, it is shown that the users of the canary lose.

    Args:
        config: thresholds of the canary.
        promote: thresholds that are shared with the gates of a promotion.
        of_lists: values of `fill_ratio`, `more_short`, `coverage_ratio`, `overlap` and `rights_violations`;
            see `GATE_MESSAGES`.
        outcome: the metric on what the users of the canary heard later; None if the log does not reach one
            day beyond the pools.

    Returns:
        One gate for each key of `of_lists`, and the gate `loss` if there is an outcome.
    """
    asked = {
        "fill_ratio": config.min_fill,
        "coverage_ratio": promote.min_coverage,
        "overlap": promote.min_overlap,
    }
    told = [
        Gate(name, of_lists[name], least, of_lists[name] >= least, GATE_MESSAGES[name].format(of_lists[name]))
        for name, least in asked.items()
    ]
    for name, most in (("more_short", config.max_short), ("rights_violations", 0.0)):
        told.append(
            Gate(
                name, of_lists[name], most, of_lists[name] <= most, GATE_MESSAGES[name].format(of_lists[name])
            )
        )
    if outcome is not None:
        room = outcome.high / outcome.champion if outcome.champion > 0 else 0.0
        shown = f"{outcome.champion:.4f} → {outcome.challenger:.4f}, difference {outcome.low:+.4f} to {outcome.high:+.4f} on {outcome.users:,} users"
        told.append(
            Gate("loss", room, -config.max_loss, room >= -config.max_loss, f"{promote.metric}: {shown}")
        )
    return told


GATE_MESSAGES = {
    "fill_ratio": "its pools are {:.3f} × as full as the champion's",
    "more_short": "its share of short pools differs by {:+.2%} from the champion's",
    "rights_violations": "pools offer {:,.0f} recordings where they may not be played",
    "coverage_ratio": "its pools hold {:.3f} × as many distinct recordings as the champion's",
    "overlap": "on average, {:.3f} of a champion's pool is in the challenger's pool",
}


def _room(part: PairedMetric) -> float:
    """Return the lower end of the interval of the difference, as a share of the champion's mean.

    If the champion's mean is 0, the challenger cannot be worse. The lower end itself is returned then, or 0
    if it is below 0.
    """
    return part.low / part.champion if part.champion > 0 else max(part.low, 0.0)

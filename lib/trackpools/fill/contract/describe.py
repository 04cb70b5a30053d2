"""Describe filters in words."""

from typing import Any

from trackpools.fill.contract.constraints import Filter

FLAGS = {  # condition → its value → words
    "heard": {True: "heard before", False: "never heard"},
    "clean": {True: "without explicit words"},
    "artist_heard": {True: "by artists heard before", False: "by artists never heard"},
}


def describe_filter(wanted: Filter) -> str:
    """Return a filter in words, with semicolons between conditions; `anything` for an empty filter."""
    return "; ".join(_said(name, getattr(wanted, name)) for name in wanted.set_fields) or "anything"


def _said(name: str, value: Any) -> str:
    def band(one: Any, unit: str = "") -> str:
        ends = [None if end is None else f"{end:g}{unit}" for end in (one.low, one.high)]
        return (
            f"{ends[0]} to {ends[1]}" if all(ends) else f"from {ends[0]}" if ends[0] else f"up to {ends[1]}"
        )

    lists = {
        "artists": "by {}",
        "no_artists": "not by {}",
        "tags": "tagged {}",
        "no_tags": "not tagged {}",
        "languages": "in {}",
        "no_languages": "not in {}",
        "no_versions": "no version {}",
        "no_titles": "not titled {}",
    }
    if name in lists:
        return lists[name].format(" or ".join(value))
    if name in {"years", "no_years"}:
        return ("released " if name == "years" else "not released ") + " or ".join(band(one) for one in value)
    if name in FLAGS:
        return FLAGS[name][value]
    if name == "quiet_days":
        return f"not heard in {value} days"
    if name == "top":
        return f"by the {value.count} artists heard most" + (f" in {value.days} days" if value.days else "")
    unit = {"tempo": " bpm", "seconds": " s"}.get(name, "")
    return f"{name.replace('_', ' ')} {band(value, unit)}"

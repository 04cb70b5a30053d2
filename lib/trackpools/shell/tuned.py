"""What a search found: a file for `--config`, or options where the root is no local folder; and what to say of it."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from trackpools.config import Config
from trackpools.shell.command import Answer, Options
from trackpools.shell.lock import local_path
from trackpools.shell.search_space import Settings, differences, dump, with_settings
from trackpools.shell.settings import load_config
from trackpools.shell.trying import Window

FILE = "tuned.yml"


class _Plain(yaml.SafeDumper):
    def ignore_aliases(self, _: Any) -> bool:
        return True  # the loader of configurations refuses them


def overlay(config: Config) -> dict[str, Any]:
    """All that differs from `conf/base.yml`, so that no other file is needed beside it; no address with a password."""
    found = differences(dump(load_config()), dump(config))
    found.pop("tune", None)  # how long to search is no setting of what was found
    for key in ("tracking_uri", "registry_uri"):
        if "@" in str(found.get("mlflow", {}).get(key)):
            del found["mlflow"][key]
    return found


def write(config: Config, about: str) -> Path | None:
    """`<root>/tuned.yml`, in one move; None where the root is no local folder."""
    folder = local_path(config.store.root)
    if folder is None:
        return None
    path, new = folder / FILE, folder / f".{FILE}.new"
    body = yaml.dump(overlay(config), Dumper=_Plain, sort_keys=False, allow_unicode=True)
    new.write_text(f"# {about}\n{body}", encoding="utf-8")
    os.replace(new, path)  # noqa: PTH105 - the same
    return path


def answer(
    config: Config,
    options: Options,
    window: Window,
    *,
    winner: Settings,
    final: Mapping[str, Any],
    trials: Sequence[Mapping[str, Any]],
    run_id: str | None,
) -> Answer:
    """The result of a search, written and said.

    Args:
        winner: settings that were best on the sample; none where the present ones were.
        final: `measures` by name, `better` and `warnings`.
    """
    best, who = (winner, "best") if final["better"] else ({}, "present")
    measures = final["measures"]
    found = ", ".join(f"{key}={value}" for key, value in best.items()) or "the present settings stay"
    path = write(with_settings(config, best), f"`trackpools tune` as of {window.as_of.isoformat()}: {found}")
    sets = [part for key, value in best.items() for part in ("--set", f"{key}={value}")]
    lines = [
        f"asked: what was heard for the first time from {window.as_of:%Y-%m-%d %H:%M} to {window.until:%Y-%m-%d %H:%M} UTC; what came then is left to promote",
        *_counts(trials),
        *_verdict(winner, final),
        *([f"settings → {path}"] if path else [f"settings: {' '.join(sets) or 'as they are'}"]),
        *(
            _next(options, best, window.until.isoformat(), str(path) if path else None, sets)
            if best
            else ["next: nothing; the present settings stay"]
        ),
    ]
    value = measures[f"new {who}"]
    return Answer(
        mlflow_run_id=run_id,
        warnings=list(final["warnings"]),
        lines=lines,
        more={
            "better": final["better"],
            "settings": best,
            "tried": winner,
            "value": value["value"],
            "interval": [value["low"], value["high"]],
            "measures": measures,
            "trials": list(trials),
            "config": str(path) if path else None,
            "set": sets,
            "window": {name: getattr(window, name).isoformat() for name in ("as_of", "until", "end")},
        },
    )


def _counts(trials: Sequence[Mapping[str, Any]]) -> list[str]:
    told = []
    for study, what in (("trial", "of the model"), ("blend", "of the blend")):
        mine = [one for one in trials if one["study"] == study]
        if mine:
            done = [one for one in mine if one["state"] == "complete"]
            best = max(done, key=lambda one: one["value"])
            present = next(one for one in done if not one["settings"])
            states = {state: sum(one["state"] == state for one in mine) for state in ("pruned", "refused")}
            left = "".join(f", {n} {state}" for state, n in states.items() if n)
            told.append(
                f"{len(mine)} settings {what}{left}: {present['value']:.4f} at present, {best['value']:.4f} at best, on the sample"
            )
    return told


def _verdict(winner: Settings, final: Mapping[str, Any]) -> list[str]:
    measures = final["measures"]

    def shown(name: str) -> str:
        one = measures[name]
        return (
            "nothing to measure"
            if one["value"] is None
            else f"{one['value']:.4f} ({one['low']:.4f} to {one['high']:.4f})"
        )

    if not winner:
        said = "none was better than the present settings, which stay"
        return [said, f"new recall@500 of everybody: {shown('new present')}; again {shown('again present')}"]
    lines = [
        f"{kind} recall@500 of everybody: {shown(f'{kind} present')} at present, {shown(f'{kind} best')} at best, difference {shown(f'{kind} gain')}"
        for kind in ("new", "again")
    ]
    high = measures["new gain"]["high"]
    worse = (
        "whole pools are worse by what was best on the sample"
        if high is not None and high < 0
        else "that is no difference that shows"
    )
    return [
        *lines,
        "the best settings are better" if final["better"] else f"{worse}: the present settings stay",
    ]


def _next(options: Options, best: Settings, day: str, path: str | None, sets: Sequence[str]) -> list[str]:
    """Commands up to a promotion, which measures on the days after `day`."""
    how = (
        f"--config {path}"
        if path
        else " ".join(["--config", options.config, *sets] if options.config else sets)
    )
    root = f" --root {options.root}" if options.root else ""
    sections = {key.partition(".")[0] for key in best}
    first = (
        ["interactions", "features", "train"]
        if "weights" in sections
        else ["train"]
        if "train" in sections
        else []
    )
    return [
        f"next, where the release in force is of another day: trackpools run --as-of {day}{root}",
        *(f"next: trackpools {name} {how} --as-of {day}{root}" for name in [*first, "pools"]),
        f"next: trackpools promote {how}{root}",
    ]

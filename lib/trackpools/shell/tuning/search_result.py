"""Write and report the result of a search for better settings.

The result is a file that can be passed as `--config`. If the root is not a local folder, the result is a list
of `--set` options instead.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from trackpools.config import Config
from trackpools.config.loading import load_config
from trackpools.shell.command import CommandResult, Options
from trackpools.shell.resilience.atomic_file import atomic_file
from trackpools.shell.store.root_lock import local_path
from trackpools.shell.tuning.search_space import Settings, differences, dump, with_settings
from trackpools.shell.tuning.trial import Window

FILE = "tuned.yml"


class _Plain(yaml.SafeDumper):
    def ignore_aliases(self, _: Any) -> bool:
        return True  # the loader of configurations refuses aliases


def overlay(config: Config) -> dict[str, Any]:
    """Return the settings that differ from `conf/base.yml`; as a file, they replace the given `--config`.

    The section `tune` is left out, and so are MLflow URIs that contain a user or password; these URIs must be
    given again.
    """
    found = differences(dump(load_config()), dump(config))
    found.pop("tune", None)  # settings of the search are not part of its result
    for key in ("tracking_uri", "registry_uri"):
        if "@" in str(found.get("mlflow", {}).get(key)):
            del found["mlflow"][key]
    return found


def write(config: Config, about: str) -> Path | None:
    """Write a configuration to `<root>/tuned.yml`, completely or not at all.

    Args:
        config: The configuration to write.
        about: One line that becomes a comment at the beginning of the file.

    Returns:
        The path of the file. None if the root is not a local folder; then nothing is written.
    """
    folder = local_path(config.store.root)
    if folder is None:
        return None
    path = folder / FILE
    body = yaml.dump(overlay(config), Dumper=_Plain, sort_keys=False, allow_unicode=True)
    with atomic_file(path) as draft:
        draft.write_text(f"# {about}\n{body}", encoding="utf-8")
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
) -> CommandResult:
    """Write the result of a search and report it.

    Args:
        config: The present settings.
        options: Options of the command line.
        window: The periods for training and measuring.
        winner: The settings that were best on the sample; empty if the present settings were best.
        final: `measures` (by name), `better` and `warnings`, see `Search.run`.
        trials: Result of `Search.trials`.
        run_id: The id of the MLflow run; None if the search was not tracked.
    """
    best, who = (winner, "best") if final["better"] else ({}, "present")
    measures = final["measures"]
    found = ", ".join(f"{key}={value}" for key, value in best.items()) or "the present settings stay"
    path = write(with_settings(config, best), f"`trackpools tune` as of {window.as_of.isoformat()}: {found}")
    sets = [part for key, value in best.items() for part in ("--set", f"{key}={value}")]
    lines = [
        f"measured on plays from {window.as_of:%Y-%m-%d %H:%M} to {window.until:%Y-%m-%d %H:%M} UTC; "
        "later plays are reserved for `trackpools promote`",
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
    return CommandResult(
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
    for study, what, measure in (
        ("trial", "of the model", "the recall on the sample"),
        ("blend", "of the weights", "the recall on half of the sample, less a penalty,"),
    ):
        mine = [one for one in trials if one["study"] == study]
        if mine:
            done = [one for one in mine if one["state"] == "complete"]
            best = max(done, key=lambda one: one["value"])
            present = next(one for one in done if not one["settings"])
            states = {state: sum(one["state"] == state for one in mine) for state in ("pruned", "refused")}
            left = "".join(f", {n} {state}" for state, n in states.items() if n)
            told.append(
                f"{len(mine)} trials {what}{left}: {measure} is {present['value']:.4f} with the present "
                f"settings and {best['value']:.4f} with the best ones"
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
        said = "no better settings were found and confirmed; the present settings stay"
        return [
            said,
            f"recall@500 of new recordings, all users: {shown('new present')}; "
            f"of recordings heard again: {shown('again present')}",
        ]
    lines = [
        f"recall@500 of {what}, all users: {shown(f'{kind} present')} with the present settings, "
        f"{shown(f'{kind} best')} with the best ones, difference {shown(f'{kind} gain')}"
        for kind, what in (("new", "new recordings"), ("again", "recordings heard again"))
    ]
    high = measures["new gain"]["high"]
    worse = (
        "over all users, the pools are worse with the settings that were best on the sample"
        if high is not None and high < 0
        else "the difference may be chance"
    )
    return [
        *lines,
        "the best settings are better than the present ones"
        if final["better"]
        else f"{worse}; the present settings stay",
    ]


def _next(options: Options, best: Settings, day: str, path: str | None, sets: Sequence[str]) -> list[str]:
    """Return lines with the commands to type next: build pools with the best settings, and promote them.

    Args:
        options: Options of the command line.
        best: The best settings.
        day: The moment to compute for, ISO 8601; before the commands, a release as of this moment is needed.
        path: The file with the settings, for `--config`; None if there is none.
        sets: The same settings as `--set` options.
    """
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
        f"next, if the release in force is of another day: trackpools run --as-of {day}{root}",
        *(f"next: trackpools {name} {how} --as-of {day}{root}" for name in [*first, "pools"]),
        f"next: trackpools promote {how}{root}",
    ]

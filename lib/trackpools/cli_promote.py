"""The command that lets a challenger replace the champion, or not."""

from typing import Any

from trackpools.cli import ConfigFile, Json, Quiet, Root, Settings, _end, _options, app
from trackpools.shell.command import Answer, perform


@app.command()
def promote(
    root: Root = None,
    config: ConfigFile = None,
    set_: Settings = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Publish the pools in the store if they hold against the release in force, on the same listeners, by what these heard afterwards; exit 4 if not.

    Both must have been made before the last `holdout.days` of the log:

    `trackpools run --as-of DAY` (the champion, once) · `trackpools tune` · `trackpools train --config tuned.yml --as-of DAY` ·
    `trackpools pools --config tuned.yml --as-of DAY` · `trackpools promote`

    Gates (section `promote` of the configuration): the gain's interval is above `min_effect`; no slice of listeners loses more than `slice_margin`;
    coverage and overlap with the last release stay above theirs; nothing is offered where it may not be played.
    """

    def work(merged: Any) -> Answer:
        from trackpools.shell import work as w

        return w.promote(merged, _options(root, config, set_, json, quiet))

    _end(perform("promote", _options(root, config, set_, json, quiet), work))

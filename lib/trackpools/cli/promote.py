"""The command that publishes a challenger if it passes all gates."""

from typing import Any

from trackpools.cli.app import ConfigFile, Json, Quiet, Root, Settings, app, end, options_of
from trackpools.shell.command import CommandResult
from trackpools.shell.console import perform


@app.command()
def promote(
    root: Root = None,
    config: ConfigFile = None,
    set_: Settings = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Publish the challenger's pools if they pass all gates; exit 4 if they do not.

    The challenger's pools are those that `trackpools pools` wrote into --root. They are compared with the
    pools of the release in force (the champion), on the same users, by what these users heard afterwards. It
    writes the figures to `pool_metrics` and MLflow. Use it after you have trained a new model or changed
    settings.

    Both must be built as of a day at least `holdout.days` before the end of the log. If R is the root:

    ```bash
    trackpools run --root R --as-of DAY    # the champion, once
    trackpools tune --root R               # writes R/tuned.yml
    trackpools train --config R/tuned.yml --root R --as-of DAY
    trackpools pools --config R/tuned.yml --root R --as-of DAY
    trackpools promote --root R
    ```

    These are the gates, with their limits from the section `promote` of the configuration:

    - The confidence interval of the gain in `metric` (challenger minus champion) lies wholly above
      `min_effect`.
    - No slice of users loses more than `slice_margin`.
    - Coverage and the overlap with the champion's pools reach `min_coverage` and `min_overlap`.
    - No pool has a recording that may not be played in its market.
    """

    def work(merged: Any) -> CommandResult:
        from trackpools.shell.commands import pipeline as w

        return w.promote(merged, options_of(root, config, set_, json, quiet))

    end(perform("promote", options_of(root, config, set_, json, quiet), work))

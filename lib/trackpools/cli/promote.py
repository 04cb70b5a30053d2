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
    pools of the release in force (the champion), on the same users, by what these users heard in the
    `holdout.days` days after the later `as_of` of the two. The command writes the figures to `pool_metrics`
    and MLflow. Use it after you have trained a new model or changed settings.

    The pools of champion and challenger must be built as of a day that is at least `holdout.days` days before
    the end of the log. These are the commands if R is the root; `tune` prints which of them you need:

    ```bash
    trackpools run --root R --as-of DAY    # the champion, once
    trackpools tune --root R               # writes R/tuned.yml
    trackpools interactions --config R/tuned.yml --root R --as-of DAY
    trackpools features --config R/tuned.yml --root R --as-of DAY
    trackpools train --config R/tuned.yml --root R --as-of DAY
    trackpools pools --config R/tuned.yml --root R --as-of DAY
    trackpools promote --config R/tuned.yml --root R
    ```

    These are the gates, with their limits from the section `promote` of the configuration:

    - The confidence interval of the gain in `metric` (challenger minus champion) lies wholly above
      `min_effect`.
    - No slice (a group of users, such as a market) of at least `min_users` users loses more than the share
      `slice_margin` of the champion's value, by the lower end of its interval. If no slice has so many users,
      the gate fails.
    - The challenger's pools hold at least `min_coverage` times as many distinct recordings as the champion's,
      and on average at least the share `min_overlap` of a user's old pool stays.
    - No pool of the challenger holds a recording that its user may not play, by market or by explicit policy.
    """

    def work(merged: Any) -> CommandResult:
        from trackpools.shell.commands import pipeline as w

        return w.promote(merged, options_of(root, config, set_, json, quiet))

    end(perform("promote", options_of(root, config, set_, json, quiet), work))

"""The command that compares engines, on an imported log or on a published split."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from trackpools.cli.app import ConfigFile, Json, Quiet, Root, Settings, app, end, options_of
from trackpools.config import ENGINES
from trackpools.shell.command import CommandResult, Options
from trackpools.shell.console import perform


def _numbers(text: str) -> list[int]:
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isdigit() and int(part) > 0 for part in parts):
        raise typer.BadParameter(
            f"needs whole numbers above 0, separated by commas, such as 10,20,50; got {text!r:.60}",
            param_hint="--k",
        )
    return sorted({int(part) for part in parts})


@app.command()
def evaluate(
    root: Root = None,
    train: Annotated[
        Path | None, typer.Option(help="Published split: file of the pairs to train on.", show_default=False)
    ] = None,
    test: Annotated[
        Path | None,
        typer.Option(
            help="Published split: file of the pairs to predict. "
            "It is read once, after all settings are final.",
            show_default=False,
        ),
    ] = None,
    form: Annotated[
        str | None,
        typer.Option(
            "--format",
            help="Published split: format of the files, as shown above.",
            show_default=False,
        ),
    ] = None,
    engine: Annotated[
        str | None,
        typer.Option(
            help="`popularity`, `item_knn`, `ease`, `implicit`, `mllib` or `blocked`. "
            "On your log, you may also name `blend`, and several engines separated by commas. "
            "Default: all of them on your log, `blocked` on a published split.",
            show_default=False,
        ),
    ] = None,
    k: Annotated[
        str,
        typer.Option(
            "--k",
            help="Lengths of the lists for which recall and nDCG are measured (on a published split, also "
            "hit rate), separated by commas.",
        ),
    ] = "10,20,50,100",
    until: Annotated[
        str | None,
        typer.Option(
            help="Your log: use only plays before this moment (ISO 8601). Default: all plays.",
            show_default=False,
        ),
    ] = None,
    share: Annotated[
        float | None,
        typer.Option(
            help="Your log: fraction of the plays to test on. These are the latest plays, or random ones if "
            "plays have no times. Default: the plays of the last `holdout.days`; without times, 0.2.",
            min=0.001,
            max=0.9,
        ),
    ] = None,
    canary: Annotated[
        bool,
        typer.Option(
            "--canary",
            help="Your log: test for leakage. It adds, in memory, plays and likes that are not known at the "
            "cut, and fails if a feature, a factor or a pool shows a trace of them.",
        ),
    ] = False,
    tune: Annotated[
        int,
        typer.Option(
            help="Published split: number of combinations of settings to try first. They are measured on a "
            "tenth of train, which is held out.",
            min=0,
            max=10_000,
        ),
    ] = 0,
    negatives: Annotated[
        Path | None,
        typer.Option(
            help="Format `ncf`: file of the items that each test item is ranked among.", show_default=False
        ),
    ] = None,
    fold_in: Annotated[
        Path | None,
        typer.Option(
            help="Format `vae`: file of the histories of the test users, who are not in train.",
            show_default=False,
        ),
    ] = None,
    config: ConfigFile = None,
    set_: Settings = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Measure pools and engines on your log, or an engine on a published split.

    Use it to compare engines or settings before you change what readers follow.

    **Your log** (`--root`): it cuts the log in time. In a sandbox beside your tables, the flow runs on what
    was known at the cut. Baselines, ALS engines and the blend then predict the recordings that each user
    hears for the first time after the cut. If plays have no times, they are split at random instead. It also
    measures the pools: how varied they are, and what share of the recordings that users heard after the cut
    is in them (new and repeated ones, by source and by slice of users). It writes the figures to
    `pool_metrics` and MLflow, with a page `evaluation.html`. It changes no published table.

    **A published split** (`--train`, `--test`, `--format`): one engine learns from the train file. Except in
    `ncf`, every item that is not in a user's history is a candidate. It reads and writes no table.

    These are three lines of a file in each format. Recall is hits divided by test items, except in `vae`.

    - `lightgcn`: each line has a user and the user's items, separated by spaces.

      ```text
      0 31 7 12
      1 4
      2 7 9
      ```

    - `ncf`: each line has user, item, rating and time, separated by tabs (shown as ⇥).

      ```text
      0⇥31⇥5⇥978300760
      0⇥7⇥3⇥978302109
      1⇥4⇥4⇥978301968
      ```

      This format needs --negatives. Each line of that file has a test pair (user,item), then other items,
      separated by tabs. The test item is ranked among these items and loses every tie.

      ```text
      (0,25)⇥90⇥41⇥3
      (1,133)⇥8⇥6⇥77
      (2,3)⇥5⇥19⇥2
      ```

    - `pairs`: each line has a user and an item, separated by a comma.

      ```text
      0,31
      0,7
      1,4
      ```

    - `vae`: each line has the same form as in `pairs`. This format needs --fold-in, because the test users
      are not in train (strong generalisation, Liang et al. 2018). Recall is hits divided by min(k, test
      items).
    """
    cuts = _numbers(k)
    files = {"--train": train, "--test": test, "--format": form}
    if not any(files.values()):
        options = options_of(root, config, set_, json, quiet)
        end(
            perform(
                "evaluate", options, _of_log(options, engine, cuts, until=until, share=share, canary=canary)
            )
        )
    missing = [name for name, value in files.items() if value is None]
    if missing or root:
        raise typer.BadParameter(
            "a published split needs --train, --test and --format, and takes no --root; "
            f"missing: {', '.join(missing) or 'nothing'}"
        )
    engine = engine or "blocked"
    als = [f"train.engine={engine}"] if engine in ENGINES else []
    options = options_of(None, config, [*(set_ or ()), *als], json, quiet)

    def work(merged: Any) -> CommandResult:
        from trackpools.shell.evaluation.public_split import Files, evaluate_split

        with options.progress(4 + tune) as progress:
            return evaluate_split(
                merged,
                Files(str(form), Path(str(train)), Path(str(test)), negatives, fold_in),
                engine,
                cuts,
                trials=tune,
                progress=progress,
            )

    end(perform("evaluate", options, work))


def _of_log(
    options: Options,
    engine: str | None,
    cuts: list[int],
    *,
    until: str | None,
    share: float | None,
    canary: bool,
) -> Callable[[Any], CommandResult]:
    def work(merged: Any) -> CommandResult:
        from trackpools.shell.evaluation import backtest
        from trackpools.shell.store.root_lock import writer_lock
        from trackpools.shell.store.store import require_place

        require_place(merged.store)
        engines = [name.strip() for name in engine.split(",")] if engine else []
        with options.progress(13 + (len(engines) or 7)) as progress, writer_lock(merged.store.root):
            return backtest.evaluate_log(
                merged, backtest.EvaluationOptions(engines, cuts, until, share, canary), progress
            )

    return work

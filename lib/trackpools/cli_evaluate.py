"""The command that compares engines, on a log of one's own or on published splits."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from trackpools.cli import ConfigFile, Json, Quiet, Root, Settings, _end, _options, app
from trackpools.config import ENGINES
from trackpools.shell.command import Answer, Options, perform, telling


def _numbers(text: str) -> list[int]:
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isdigit() and int(part) > 0 for part in parts):
        raise typer.BadParameter(
            f"whole numbers above 0 with commas between them, such as 10,20,50; got {text!r:.60}",
            param_hint="--k",
        )
    return sorted({int(part) for part in parts})


@app.command()
def evaluate(
    root: Root = None,
    train: Annotated[
        Path | None, typer.Option(help="published split: pairs to train on", show_default=False)
    ] = None,
    test: Annotated[
        Path | None,
        typer.Option(help="pairs to predict; read once, after everything is settled", show_default=False),
    ] = None,
    form: Annotated[
        str | None, typer.Option("--format", help="lightgcn, ncf, pairs or vae", show_default=False)
    ] = None,
    engine: Annotated[
        str | None,
        typer.Option(
            help="popularity, item_knn, ease, implicit, mllib, blocked; of a log also blend, several with commas, all if none is named",
            show_default=False,
        ),
    ] = None,
    k: Annotated[str, typer.Option("--k", help="cuts of recall, nDCG and hit rate")] = "10,20,50,100",
    until: Annotated[
        str | None,
        typer.Option(help="a log: ISO 8601, where it ends; default: its last play", show_default=False),
    ] = None,
    share: Annotated[
        float | None,
        typer.Option(
            help="a log: test on its latest plays, this share; default: the last holdout.days",
            min=0.001,
            max=0.9,
        ),
    ] = None,
    canary: Annotated[
        bool,
        typer.Option(
            "--canary", help="a log: plant plays from the future, and fail if any of them is learned from"
        ),
    ] = False,
    tune: Annotated[
        int, typer.Option(help="settings to try on a tenth of train first", min=0, max=10_000)
    ] = 0,
    negatives: Annotated[
        Path | None, typer.Option(help="ncf: what stands beside each test item", show_default=False)
    ] = None,
    fold_in: Annotated[
        Path | None,
        typer.Option(help="vae: histories of test users, who are not in train", show_default=False),
    ] = None,
    config: ConfigFile = None,
    set_: Settings = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """How good are pools and engines? On your own imported log (`--root`), cut in time; or on a split that others have published (`--train`, `--test`).

    **Your log**: everything is learned beside your tables from what was known at the cut, and baselines, ALS engines and the blend are asked which
    recordings each listener then hears for the first time; then the pools alone: new and again, by source, by slice, how varied. Nothing published changes.

    **A published split**: every item that a user did not have in train is a candidate. Three lines of each format (⇥ is a tab):

    **lightgcn**, user and items: `0 31 7 12` / `1 4` / `2 7 9`

    **ncf**, user⇥item⇥rating⇥time: `0⇥31⇥5⇥978300760` / `0⇥7⇥3⇥978302109` / `1⇥4⇥4⇥978301968`;
    negatives: `(0,25)⇥90⇥41⇥3` / `(1,133)⇥8⇥6⇥77` / `(2,3)⇥5⇥19⇥2`: the test's item is ranked among them, and loses every tie

    **pairs**, user,item: `0,31` / `0,7` / `1,4`

    **vae**, as pairs, with --fold-in: strong generalisation (Liang et al. 2018); recall is hits / min(k, test items), elsewhere hits / test items
    """
    cuts = _numbers(k)
    files = {"--train": train, "--test": test, "--format": form}
    if not any(files.values()):
        options = _options(root, config, set_, json, quiet)
        _end(
            perform(
                "evaluate", options, _of_log(options, engine, cuts, until=until, share=share, canary=canary)
            )
        )
    missing = [name for name, value in files.items() if value is None]
    if missing or root:
        raise typer.BadParameter(
            f"a published split is --train, --test and --format, without --root; missing: {', '.join(missing) or 'nothing'}"
        )
    engine = engine or "blocked"
    als = [f"train.engine={engine}"] if engine in ENGINES else []
    options = _options(None, config, [*(set_ or ()), *als], json, quiet)

    def work(merged: Any) -> Answer:
        from trackpools.shell.published import Files, evaluate

        with telling(options, 4 + tune) as tell:
            return evaluate(
                merged,
                Files(str(form), Path(str(train)), Path(str(test)), negatives, fold_in),
                engine,
                cuts,
                trials=tune,
                tell=tell,
            )

    _end(perform("evaluate", options, work))


def _of_log(
    options: Options,
    engine: str | None,
    cuts: list[int],
    *,
    until: str | None,
    share: float | None,
    canary: bool,
) -> Callable[[Any], Answer]:
    def work(merged: Any) -> Answer:
        from trackpools.shell import backtest
        from trackpools.shell.lock import writer_lock
        from trackpools.shell.store import require_place

        require_place(merged.store)
        engines = [name.strip() for name in engine.split(",")] if engine else []
        with telling(options, 13 + (len(engines) or 7)) as tell, writer_lock(merged.store.root):
            return backtest.evaluated(merged, backtest.Asked(engines, cuts, until, share, canary), tell)

    return work

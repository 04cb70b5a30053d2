"""The command that compares engines on published splits."""

from pathlib import Path
from typing import Annotated, Any

import typer

from trackpools.cli import ConfigFile, Json, Quiet, Settings, _end, _options, app
from trackpools.config import ENGINES
from trackpools.shell.command import Answer, perform, telling


def _numbers(text: str) -> list[int]:
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isdigit() and int(part) > 0 for part in parts):
        raise typer.BadParameter(f"whole numbers above 0 with commas between them, such as 10,20,50; got {text!r:.60}", param_hint="--k")
    return sorted({int(part) for part in parts})


@app.command()
def evaluate(
    train: Annotated[Path, typer.Option(help="pairs to train on", show_default=False)],
    test: Annotated[Path, typer.Option(help="pairs to predict; read once, after everything is settled", show_default=False)],
    form: Annotated[str, typer.Option("--format", help="lightgcn, ncf, pairs or vae", show_default=False)],
    engine: Annotated[str, typer.Option(help="popularity, item_knn, ease, implicit, mllib or blocked")] = "blocked",
    k: Annotated[str, typer.Option("--k", help="cuts of recall, nDCG and hit rate")] = "10,20,50,100",
    tune: Annotated[int, typer.Option(help="settings to try on a tenth of train first", min=0, max=10_000)] = 0,
    negatives: Annotated[Path | None, typer.Option(help="ncf: what stands beside each test item", show_default=False)] = None,
    fold_in: Annotated[Path | None, typer.Option(help="vae: histories of test users, who are not in train", show_default=False)] = None,
    config: ConfigFile = None, set_: Settings = None, json: Json = False, quiet: Quiet = False,
) -> None:
    """Recall, nDCG and hit rate of one engine on a split that others have published; every item that a user did not have in train is a candidate.

    Three lines of each format (⇥ is a tab):

    **lightgcn**, user and items: `0 31 7 12` / `1 4` / `2 7 9`

    **ncf**, user⇥item⇥rating⇥time: `0⇥31⇥5⇥978300760` / `0⇥7⇥3⇥978302109` / `1⇥4⇥4⇥978301968`;
    negatives: `(0,25)⇥90⇥41⇥3` / `(1,133)⇥8⇥6⇥77` / `(2,3)⇥5⇥19⇥2`: the test's item is ranked among them, and loses every tie

    **pairs**, user,item: `0,31` / `0,7` / `1,4`

    **vae**, as pairs, with --fold-in: strong generalisation (Liang et al. 2018); recall is hits / min(k, test items), elsewhere hits / test items
    """
    cuts = _numbers(k)
    als = [f"train.engine={engine}"] if engine in ENGINES else []
    options = _options(None, config, [*(set_ or ()), *als], json, quiet)

    def work(merged: Any) -> Answer:
        from trackpools.shell.published import Files, evaluate

        with telling(options, 4 + tune) as tell:
            return evaluate(merged, Files(form, train, test, negatives, fold_in), engine, cuts, trials=tune, tell=tell)

    _end(perform("evaluate", options, work))

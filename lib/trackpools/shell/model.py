"""The registered model of a training: recording factors as one npz beside the code that folds listeners in. Never a pickle."""

import json
import logging
import tempfile
import warnings
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib import metadata, resources
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from trackpools.config import MlflowConfig
from trackpools.errors import InputError
from trackpools.shell.mlflow_client import Server, refused, sqlite_file

LOG = logging.getLogger(__name__)
VERSION_TAG = "trackpools.model_version"
CHAMPION = "champion"
UPLOAD_WAIT_S = 30  # a server that has just answered may take this long to store a file


@dataclass(frozen=True)
class About:
    """What folding in needs to know of the training: the objective of design.md and which model this is."""

    model_version: str
    engine: str
    alpha: float
    reg: float
    nu: float
    alpha0: float


def write_npz(
    path: Path,
    factors: NDArray[np.float32],
    recording_idx: NDArray[np.int32],
    recording_id: NDArray[np.str_],
    about: About,
) -> Path:
    """One npz of plain arrays: factors [n, rank], recording_idx, recording_id (fixed width), about (JSON text).

    Raises:
        InputError: where lengths differ, a factor is not finite, or an array could only be stored as a pickle.
    """
    problems = []
    if factors.ndim != 2 or not len(factors) == len(recording_idx) == len(recording_id):
        problems.append(
            f"shapes must be [n, rank], [n] and [n]; got {factors.shape}, {recording_idx.shape} and {recording_id.shape}"
        )
    if not np.isfinite(factors).all():
        problems.append("factors must be finite; train again with a larger reg")
    if recording_id.dtype.kind != "U":
        problems.append(f"recording_id must be fixed-width text; got dtype {recording_id.dtype}")
    if problems:
        raise InputError("these factors make no model", problems)
    arrays = {
        "factors": factors.astype(np.float32),
        "recording_idx": recording_idx.astype(np.int32),
        "recording_id": recording_id,
    }
    np.savez(path, allow_pickle=False, **arrays, about=np.array(json.dumps(asdict(about), sort_keys=True)))
    return path


def export_factors(
    recording_factors: DataFrame, recording_ids: DataFrame, path: Path, about: About, max_mb: int
) -> Path | None:
    """Recording factors with their public ids as an npz, sorted by idx; None (and a log line) above `max_mb`.

    Grows with the catalogue, not with users, and is bounded by `max_mb` before anything is pulled to the driver.
    """
    size = recording_factors.agg(F.count(F.lit(1)).alias("n"), F.max(F.size("factors")).alias("rank")).first()
    if size is None or not size["n"]:
        raise InputError("recording_factors is empty; run the train stage first")
    if size["n"] * size["rank"] * 4 > max_mb * 1_000_000:
        message = "no model is registered: %s recordings × rank %s is over mlflow.max_model_mb=%s; readers use the released table"
        LOG.warning(message, size["n"], size["rank"], max_mb)
        return None
    ids = recording_ids.select(F.col("recording_idx").alias("idx"), "recording_id")
    table = (
        recording_factors.join(ids, on="idx", how="inner")
        .select("idx", "recording_id", "factors")
        .sort("idx")
        .toArrow()
    )
    factors = (
        table["factors"].combine_chunks().flatten().to_numpy(zero_copy_only=False).reshape(table.num_rows, -1)
    )
    names = np.array(table["recording_id"].to_pylist(), dtype=np.str_)
    return write_npz(path, factors, table["idx"].to_numpy(), names, about)


def requirements() -> list[str]:
    """Pinned packages of the model, said outright: MLflow's inference would import the model in a second process."""
    return [f"{name}=={metadata.version(name)}" for name in ("mlflow", "numpy", "pandas")]


def _signature() -> Any:
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, DataType, ParamSchema, ParamSpec, Schema
    from mlflow.types.schema import Array

    texts, numbers = Array(DataType.string), Array(DataType.double)
    return ModelSignature(
        inputs=Schema([ColSpec(texts, "recording_ids"), ColSpec(numbers, "weights", required=False)]),
        outputs=Schema([ColSpec(texts, "recording_ids"), ColSpec(numbers, "scores")]),
        params=ParamSchema([ParamSpec("k", DataType.integer, 10)]),
    )


def _example(npz: Path) -> Any:
    """A request for three recordings of the model, and how many to return."""
    import pandas as pd

    with np.load(npz, allow_pickle=False) as held:
        some = [str(one) for one in held["recording_id"][:3]]
    return pd.DataFrame({"recording_ids": [some], "weights": [[1.0] * len(some)]}), {"k": 5}


def save(folder: Path, npz: Path, *, run_id: str | None = None, model_id: str | None = None) -> Path:
    """The model as MLflow's folder layout, code and npz; no server is asked."""
    import mlflow
    from mlflow.models import Model

    with tempfile.TemporaryDirectory() as scratch, warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # it asks for type hints; the signature says it all
        logging.getLogger("mlflow.pyfunc").setLevel(logging.WARNING)  # it tells of every example it looks at
        code = Path(scratch, "pyfunc_model.py")  # a real file, for the package may be inside a zip
        code.write_text(
            (resources.files("trackpools.shell") / "pyfunc_model.py").read_text(encoding="utf-8"),
            encoding="utf-8",
        )
        mlflow.pyfunc.save_model(
            path=str(folder),
            python_model=str(code),
            artifacts={"factors": str(npz)},
            signature=_signature(),
            pip_requirements=requirements(),
            mlflow_model=Model(run_id=run_id, model_id=model_id),
            input_example=_example(npz),
        )
    return folder


def _find(client: Any, name: str, model_version: str) -> str | None:
    """Registered version made from this training; by tag in Python, since Unity Catalog cannot search by tag."""
    token, found = None, []
    while True:
        page = client.search_model_versions(f"name='{name}'", max_results=1000, page_token=token)
        found += [one for one in page if one.tags.get(VERSION_TAG) == model_version]
        token = page.token
        if not token:
            return str(max(int(one.version) for one in found)) if found else None


def _upload(client: Any, run_id: str, npz: Path, about: About) -> Any:
    from mlflow.entities import LoggedModelOutput

    experiment = client.get_run(run_id).info.experiment_id
    params = {key: str(value) for key, value in asdict(about).items()}
    logged = client.create_logged_model(
        experiment,
        name="recording_factors",
        source_run_id=run_id,
        params=params,
        tags={VERSION_TAG: about.model_version},
    )
    with tempfile.TemporaryDirectory() as scratch:
        folder = save(Path(scratch, "model"), npz, run_id=run_id, model_id=logged.model_id)
        client.log_model_artifacts(logged.model_id, str(folder))
    client.finalize_logged_model(logged.model_id, "READY")
    client.log_outputs(run_id, [LoggedModelOutput(logged.model_id, step=0)])
    return logged


def register(
    config: MlflowConfig, root: str | None, run_id: str | None, npz: Path, about: About
) -> str | None:
    """A registered version of this training; the one that exists where it was registered before.

    Returns None, and the run goes on, where there is no run or the server is out of reach: register again after the replay.
    """
    if run_id is None:
        return None
    server = Server(config, root)
    there = server.attempt(lambda client: (_find(client, config.model_name, about.model_version),))
    if there is None or there[0] is not None:
        return None if there is None else there[0]

    def made(client: Any) -> str:
        logged = _upload(client, run_id, npz, about)
        _ensure(client, config.model_name)
        tags = {VERSION_TAG: about.model_version}
        # a sqlite registry would look a models:/ source up on the process's global server, which need not be ours
        source = logged.artifact_location if sqlite_file(server.uri) else f"models:/{logged.model_id}"
        version = client.create_model_version(
            config.model_name,
            source,
            run_id=run_id,
            tags=tags,
            model_id=logged.model_id,
            await_creation_for=UPLOAD_WAIT_S,
        )
        return str(version.version)

    return server.attempt(made, timeout_s=UPLOAD_WAIT_S)


def _ensure(client: Any, name: str) -> None:
    try:
        client.create_registered_model(
            name, description="trackpools: fold a listener in by their recordings, get the best unheard ones"
        )
    except Exception as error:
        if not refused(error):
            raise


def set_alias(config: MlflowConfig, root: str | None, version: str, alias: str = CHAMPION) -> bool:
    """Point an alias at a registered version; False where the server is out of reach."""
    return (
        Server(config, root).attempt(
            lambda client: (client.set_registered_model_alias(config.model_name, alias, version),)
        )
        is not None
    )


def repair_alias(
    config: MlflowConfig, root: str | None, release_model_version: str, alias: str = CHAMPION
) -> str | None:
    """Make the alias say what the release row says; returns the version it points at now.

    None where the release's model was never registered (then register it) or the server is out of reach. An alias that
    is right costs one call.
    """

    def repaired(client: Any) -> str | None:
        now = _aliased(client, config.model_name, alias)
        if now.get(VERSION_TAG) == release_model_version:
            return str(now["version"])
        version = _find(client, config.model_name, release_model_version)
        if version is not None:
            client.set_registered_model_alias(config.model_name, alias, version)
        return version

    return Server(config, root).attempt(repaired)


def _aliased(client: Any, name: str, alias: str) -> Mapping[str, Any]:
    """Tags of the version that an alias points at, with its number; empty where there is none."""
    try:
        found = client.get_model_version_by_alias(name, alias)
    except Exception as error:
        if getattr(error, "error_code", None) != "RESOURCE_DOES_NOT_EXIST" and not refused(error):
            raise
        return {}
    return {**found.tags, "version": found.version}

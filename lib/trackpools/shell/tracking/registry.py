"""Export the model of a training, and register it in MLflow's model registry.

The model consists of one npz file with the recording factors, and of the code that computes a user's factors
from them (`pyfunc_model`). It never contains a pickle.
"""

import contextlib
import json
import logging
import tempfile
import warnings
from collections.abc import Iterator, Mapping
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
from trackpools.shell.tracking.mlflow_server import Server, refused, sqlite_file

LOG = logging.getLogger(__name__)
VERSION_TAG = "trackpools.model_version"
CHAMPION = "champion"  # alias of the registered version that the release in force uses
UPLOAD_WAIT_S = 30  # a server that has just answered may take this long to store a file


@dataclass(frozen=True)
class TrainingInfo:
    """The identity of a training, and the parameters that are needed to compute a user's factors.

    The confidence of a heard recording is 1 + alpha·w⁺, where w⁺ is its positive weight. A user who has heard
    n of the N recordings has the regularisation reg·(n + alpha0·N)^nu; see `pyfunc_model.fold_in`.

    Attributes:
        model_version: identifier of the model.
        engine: engine that trained the model.
        alpha: α, the factor of positive weights in the confidence.
        reg: λ, the factor of the regularisation.
        nu: ν, the exponent of the regularisation.
        alpha0: α₀, how much the number of all recordings counts in the regularisation.
    """

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
    about: TrainingInfo,
) -> Path:
    """Write the model's data as an npz file of plain arrays, and return the path of the file.

    The file holds `factors`, `recording_idx`, `recording_id` and `about` (JSON text).

    Args:
        path: the file to write.
        factors: recording factors, float32 [n, rank].
        recording_idx: number of each recording, int32 [n].
        recording_id: public id of each recording, fixed-width text [n].
        about: parameters of the training.

    Raises:
        InputError: if shapes do not fit together, a factor is not finite, or `recording_id` is not
            fixed-width text, which numpy could store only as a pickle.
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
        raise InputError("these factors cannot be saved as a model", problems)
    arrays = {
        "factors": factors.astype(np.float32),
        "recording_idx": recording_idx.astype(np.int32),
        "recording_id": recording_id,
    }
    np.savez(path, allow_pickle=False, **arrays, about=np.array(json.dumps(asdict(about), sort_keys=True)))
    return path


def export_factors(
    recording_factors: DataFrame, recording_ids: DataFrame, path: Path, about: TrainingInfo, max_mb: int
) -> Path | None:
    """Write the recording factors with their public ids to an npz file, sorted by recording number.

    The size of the factors depends on the number of recordings, not on the number of users. It is compared
    with `max_mb` before any factors are pulled to the driver.

    Args:
        recording_factors: `idx, factors`; one row for each recording.
        recording_ids: `recording_idx, recording_id`, one row for each recording; factors of a recording
            without a row here are left out.
        path: the file to write.
        about: parameters of the training.
        max_mb: largest size of the factors as float32, in megabytes (10⁶ bytes).

    Returns:
        The path of the file. None, with a warning in the log, if the factors are larger than `max_mb`.

    Raises:
        InputError: if `recording_factors` is empty; see also `write_npz`.
    """
    size = recording_factors.agg(F.count(F.lit(1)).alias("n"), F.max(F.size("factors")).alias("rank")).first()
    if size is None or not size["n"]:
        raise InputError("recording_factors is empty; run `trackpools train` first")
    if size["n"] * size["rank"] * 4 > max_mb * 1_000_000:
        message = "no model is registered: %s recordings × rank %s is more than mlflow.max_model_mb=%s; the factors are only in the released table"
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
    """Return the packages that the model requires, each with its installed version.

    Without this list, MLflow would load the model in a second process to find them out.
    """
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
    """Build an example for MLflow: one request with the first three recordings of the model, and k = 5."""
    import pandas as pd

    with np.load(npz, allow_pickle=False) as held:
        some = [str(one) for one in held["recording_id"][:3]]
    return pd.DataFrame({"recording_ids": [some], "weights": [[1.0] * len(some)]}), {"k": 5}


def save(folder: Path, npz: Path, *, run_id: str | None = None, model_id: str | None = None) -> Path:
    """Save the model in MLflow's folder layout, with its code and npz file, without calling a server.

    Args:
        folder: the folder to write.
        npz: the file that `write_npz` wrote.
        run_id: MLflow run of the training, if there is one.
        model_id: MLflow's id of the logged model, if there is one.

    Returns:
        `folder`.
    """
    import mlflow
    from mlflow.models import Model

    with tempfile.TemporaryDirectory() as scratch, _without_type_hint_advice():
        # Otherwise MLflow logs every example that it checks.
        logging.getLogger("mlflow.pyfunc").setLevel(logging.WARNING)
        code = Path(scratch, "pyfunc_model.py")  # a real file, because the package may be inside a zip
        code.write_text(
            (resources.files("trackpools.shell.tracking") / "pyfunc_model.py").read_text(encoding="utf-8"),
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


@contextlib.contextmanager
def _without_type_hint_advice() -> Iterator[None]:
    """Suppress MLflow's advice to add type hints to the model, because the model already has a signature.

    All warnings of the block are caught, and the others are issued again at its end. A warning filter would
    not work, because MLflow sets its own filters while it saves a model.
    """
    with warnings.catch_warnings(record=True) as caught:
        yield
    for one in caught:
        if "Add type hints to the `predict` method" not in str(one.message):
            warnings.warn_explicit(one.message, one.category, one.filename, one.lineno)


def _find(client: Any, name: str, model_version: str) -> str | None:
    """Return the highest version under which a model was registered, or None if there is none.

    Tags are compared in Python, because Unity Catalog cannot search by tag.

    Args:
        client: MLflow's client.
        name: name of the registered model.
        model_version: our identifier of the model, which is a tag of the registered version.
    """
    token, found = None, []
    while True:
        page = client.search_model_versions(f"name='{name}'", max_results=1000, page_token=token)
        found += [one for one in page if one.tags.get(VERSION_TAG) == model_version]
        token = page.token
        if not token:
            return str(max(int(one.version) for one in found)) if found else None


def _upload(client: Any, run_id: str, npz: Path, about: TrainingInfo) -> Any:
    """Upload the model's files as a logged model of a run, and return the logged model."""
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
    config: MlflowConfig, root: str | None, run_id: str | None, npz: Path, about: TrainingInfo
) -> str | None:
    """Register the model of a training, unless it is registered already.

    Args:
        config: the `mlflow` section.
        root: root of the store.
        run_id: MLflow run of the training, or None.
        npz: the file that `write_npz` wrote.
        about: parameters of the training.

    Returns:
        The registered version. None if there is no run, MLflow is switched off, or the server is out of
        reach. That is no error: the model can be registered later, after the spooled records of the training
        were pushed.
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
        # A sqlite registry would look up a models:/ source on the server that is set for the whole process,
        # which may be a different one.
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
    """Create the registered model if it does not exist."""
    try:
        client.create_registered_model(
            name,
            description="trackpools: fold in a user by recordings, and return the best recordings that are new to the user",
        )
    except Exception as error:
        if not refused(error):
            raise


def set_alias(config: MlflowConfig, root: str | None, version: str, alias: str = CHAMPION) -> bool:
    """Point an alias at a registered version; return False if MLflow is switched off or the server fails."""
    return (
        Server(config, root).attempt(
            lambda client: (client.set_registered_model_alias(config.model_name, alias, version),)
        )
        is not None
    )


def repair_alias(
    config: MlflowConfig, root: str | None, release_model_version: str, alias: str = CHAMPION
) -> str | None:
    """Make an alias point at the model of a release.

    If the alias is already right, this takes only one call of the server.

    Args:
        config: the `mlflow` section.
        root: root of the store.
        release_model_version: the `model_version` of the release.
        alias: the alias.

    Returns:
        The registered version at which the alias points now. None if the release's model was never registered
        (then the caller should `register` it), if MLflow is switched off, or if the server is out of reach.
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
    """Return the tags of the registered version at which an alias points, and its number as `version`.

    The result is empty if there is no such alias.
    """
    try:
        found = client.get_model_version_by_alias(name, alias)
    except Exception as error:
        if getattr(error, "error_code", None) != "RESOURCE_DOES_NOT_EXIST" and not refused(error):
            raise
        return {}
    return {**found.tags, "version": found.version}

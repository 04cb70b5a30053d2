"""The registered MLflow model: it recommends new recordings from those that a user has heard.

MLflow loads the model from this file. The file imports only numpy, pandas and mlflow, so `trackpools` need
not be installed where the model is loaded.
"""

import json
import math
from typing import Any

import mlflow
import numpy as np
import pandas as pd
from numpy.typing import NDArray


def fold_in(
    factors: NDArray[np.float32],
    gram: NDArray[np.float64],
    liked: NDArray[np.int64],
    weights: NDArray[np.float64],
    about: dict[str, Any],
) -> NDArray[np.float64]:
    """Compute one user's factors from fixed recording factors (Hu et al. 2008).

    The user's factors are the solution x of (YᵀY + Yᵀ(C−I)Y + λI) x = YᵀCp. Here p is 1 for each heard
    recording and 0 for the others. C is the diagonal matrix of confidences: 1 + alpha·w⁺ for a heard
    recording and 1 for the others. λ is reg·(n + alpha0·N)^nu for n heard recordings of N.

    Args:
        factors: Y, float32 [recordings, rank].
        gram: YᵀY, float64 [rank, rank].
        liked: row numbers in Y of the recordings that the user has heard, int64 [n], each once.
        weights: w⁺ ≥ 0 of each of these recordings, float64 [n].
        about: `alpha`, `reg`, `nu` and `alpha0` of the training, see `registry.TrainingInfo`.

    Returns:
        x, float64 [rank].
    """
    some = factors[liked].astype(np.float64)
    extra = about["alpha"] * weights
    scale = (len(liked) + about["alpha0"] * len(factors)) ** about["nu"]
    left = gram + (some.T * extra) @ some + about["reg"] * scale * np.eye(factors.shape[1])
    return np.linalg.solve(left, some.T @ (1.0 + extra))


def best(scores: NDArray[np.float64], heard: NDArray[np.int64], k: int) -> NDArray[np.int64]:
    """Return the k recordings with the highest scores that the user has not heard.

    Args:
        scores: score of each recording, float64 [recordings].
        heard: row numbers of the heard recordings, int64, each once.
        k: number of recordings wanted.

    Returns:
        Row numbers, int64, best first; of equal scores, the lower row number first. If fewer than k
        recordings are unheard, all of these are returned.
    """
    scores = scores.copy()
    scores[heard] = -np.inf
    k = min(k, len(scores) - len(heard))
    if k <= 0:
        return np.empty(0, np.int64)
    threshold = np.partition(scores, -k)[-k]
    above = np.flatnonzero(scores > threshold)
    ties = np.flatnonzero(scores == threshold)[: k - len(above)]
    chosen = np.concatenate([above, ties])
    return chosen[np.lexsort((chosen, -scores[chosen]))]


def _row_weights(ids: Any, weights: Any, row: int) -> dict[str, float]:
    """Return the weight of each recording id of one request.

    If the request has no weights, each listed id counts 1. The weights of an id that is listed several times
    are added up.

    Args:
        ids: recording ids of the request.
        weights: one weight for each of them; None or NaN if the request has no weights.
        row: number of the request, for the error message.

    Raises:
        ValueError: if the weights are not one finite number ≥ 0 for each id.
    """
    names = [str(one) for one in ids]
    given = (
        [1.0] * len(names)
        if weights is None or (isinstance(weights, float) and math.isnan(weights))
        else [float(one) for one in weights]
    )
    if len(given) != len(names) or not all(math.isfinite(one) and one >= 0 for one in given):
        raise ValueError(
            f"request {row}: weights must be one finite number >= 0 for each of the {len(names)} recording_ids; got {len(given)} values"
        )
    total: dict[str, float] = {}
    for name, one in zip(names, given, strict=True):
        total[name] = total.get(name, 0.0) + one
    return total


class RecordingFactors(mlflow.pyfunc.PythonModel):  # type: ignore[misc]  # mlflow has no types
    """The model: recommends recordings for a list of heard recordings.

    The input is a pandas frame with one row for each request: `recording_ids`, a list of strings, and
    optionally `weights`, a list of numbers. The output has one row for each request: `recording_ids` and
    `scores`, two lists with the best recording first.
    """

    def load_context(self, context: Any) -> None:
        """Load the factors, recording ids and training parameters from the npz file."""
        with np.load(context.artifacts["factors"], allow_pickle=False) as held:
            self.factors = held["factors"]
            self.ids = held["recording_id"]
            self.about = json.loads(str(held["about"]))
        self.row_of = {name: row for row, name in enumerate(self.ids.tolist())}
        wide = self.factors.astype(np.float64)
        self.gram = wide.T @ wide

    def predict(self, context, model_input, params=None):  # type: ignore[no-untyped-def]  # noqa: ARG002 - MLflow would read hints as the schema
        """Return up to k recordings for each request.

        Unknown recording ids are ignored. A request without any known id gets two empty lists.

        Args:
            context: MLflow's context; not used.
            model_input: the requests, as described for the class.
            params: may hold `k`, the number of recordings for each request; 10 by default.

        Raises:
            ValueError: if k is below 1 or the weights of a request are not valid.
        """
        k = int((params or {}).get("k", 10))
        if k < 1:
            raise ValueError(f"k must be at least 1; got {k}")
        weights = model_input["weights"] if "weights" in model_input.columns else [None] * len(model_input)
        answers = [
            self._one(_row_weights(ids, weight, row), k)
            for row, (ids, weight) in enumerate(zip(model_input["recording_ids"], weights, strict=True))
        ]
        return pd.DataFrame(
            {"recording_ids": [names for names, _ in answers], "scores": [scores for _, scores in answers]}
        )

    def _one(self, wanted: dict[str, float], k: int) -> tuple[list[str], list[float]]:
        known = {self.row_of[name]: weight for name, weight in wanted.items() if name in self.row_of}
        if not known:
            return [], []
        heard = np.array(sorted(known), np.int64)
        user = fold_in(
            self.factors, self.gram, heard, np.array([known[row] for row in heard.tolist()]), self.about
        )
        scores = self.factors @ user.astype(np.float32)
        chosen = best(scores.astype(np.float64), heard, k)
        return [str(name) for name in self.ids[chosen]], [float(one) for one in scores[chosen]]


mlflow.models.set_model(RecordingFactors())

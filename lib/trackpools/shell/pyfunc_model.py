"""The registered model, from code: fold a listener in by their recordings, return the best ones they have not heard.

Stands alone (numpy, pandas, mlflow): wherever the model is loaded, `trackpools` need not be.
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
    """One user's factors from fixed recording factors (Hu et al. 2008): (YᵀY + Yᵀ(C−I)Y + λI) x = YᵀCp.

    Args:
        factors: Y, one row a recording.
        gram: YᵀY.
        liked: rows of Y that the user has heard, each once.
        weights: w⁺ of each, ≥ 0; confidence is 1 + alpha·w.
        about: alpha, reg, nu, alpha0 of the training.
    """
    some = factors[liked].astype(np.float64)
    extra = about["alpha"] * weights
    scale = (len(liked) + about["alpha0"] * len(factors)) ** about["nu"]
    left = gram + (some.T * extra) @ some + about["reg"] * scale * np.eye(factors.shape[1])
    return np.linalg.solve(left, some.T @ (1.0 + extra))


def best(scores: NDArray[np.float64], heard: NDArray[np.int64], k: int) -> NDArray[np.int64]:
    """Rows of the k highest scores without the heard ones, best first, ties by row; min(k, available) of them."""
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
    """Weight by recording id, equal ids added up; 1 where no weights are given."""
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
    """Input: one request a row, `recording_ids` (list of strings) and, if wanted, `weights`; output: `recording_ids` and `scores`, best first."""

    def load_context(self, context: Any) -> None:
        with np.load(context.artifacts["factors"], allow_pickle=False) as held:
            self.factors = held["factors"]
            self.ids = held["recording_id"]
            self.about = json.loads(str(held["about"]))
        self.row_of = {name: row for row, name in enumerate(self.ids.tolist())}
        wide = self.factors.astype(np.float64)
        self.gram = wide.T @ wide

    def predict(self, context, model_input, params=None):  # type: ignore[no-untyped-def]  # noqa: ARG002 - MLflow would read hints as the schema
        """Up to k recordings a request; unknown recording ids are left out, and a request that knows none gets none."""
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

"""Whether the two factor tables, written one after the other, are of one training and of the ids that are read with them."""

from collections.abc import Mapping

from pyspark.sql import functions as F

from trackpools import tables as t
from trackpools.errors import ContractError
from trackpools.shell.store import Store

IDS = {t.USER_FACTORS.name: t.USER_IDS.name, t.RECORDING_FACTORS.name: t.RECORDING_IDS.name}


def one_model(store: Store, versions: Mapping[str, int]) -> str:
    """The version of the one model that user and recording factors are of, at pinned `versions` of tables.

    A table has one training, rank and version of its ids in all rows, so that a row of each tells.

    Raises:
        ContractError: where they are of two trainings or ranks, of ids younger than those read, or there are none; it names both.
    """
    told, problems = {}, []
    for name, ids in IDS.items():
        row = (
            store.read(name, versions[name])
            .select("model_version", "id_version", F.size("factors").alias("rank"))
            .first()
        )
        if row is None:
            problems.append(f"{name} holds no factors")
            continue
        told[name] = row
        if row["id_version"] > versions.get(ids, row["id_version"]):
            problems.append(
                f"{name} number by {ids} at version {row['id_version']}, which is read at version {versions[ids]}"
            )
    different = [what for what in ("model_version", "rank") if len({row[what] for row in told.values()}) > 1]
    problems += [
        f"{what} differs: " + " and ".join(f"{row[what]} in {name}" for name, row in told.items())
        for what in different
    ]
    if problems:
        raise ContractError("user and recording factors do not go together; run `trackpools train`", problems)
    return str(told[t.USER_FACTORS.name]["model_version"])

"""Check that user factors, recording factors and the id tables read with them belong together.

The two factor tables are written one after the other, so a reader may find factors of two trainings.
"""

from collections.abc import Mapping

from pyspark.sql import functions as F

from trackpools import tables as t
from trackpools.errors import ContractError
from trackpools.shell.store.store import Store

IDS = {t.USER_FACTORS.name: t.USER_IDS.name, t.RECORDING_FACTORS.name: t.RECORDING_IDS.name}


def one_model(store: Store, versions: Mapping[str, int]) -> str:
    """Return the model version that the user factors and the recording factors share.

    All rows of a factor table have the same model version, rank and version of its id table, so one row of
    each table is read.

    Args:
        store: The store that holds the factor tables.
        versions: Table name → pinned version; it must contain both factor tables, and may contain the id
            tables.

    Raises:
        ContractError: If a table holds no factors, if the two tables differ in model version or rank, or if
            the factors use a newer version of an id table than the pinned one. The error lists every problem.
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
                f"{name} uses the numbers of {ids} at version {row['id_version']}, but that table is read at version {versions[ids]}"
            )
    different = [what for what in ("model_version", "rank") if len({row[what] for row in told.values()}) > 1]
    problems += [
        f"{what} differs: " + " and ".join(f"{row[what]} in {name}" for name, row in told.items())
        for what in different
    ]
    if problems:
        raise ContractError(
            "the user factors and the recording factors do not belong together; run `trackpools train`",
            problems,
        )
    return str(told[t.USER_FACTORS.name]["model_version"])

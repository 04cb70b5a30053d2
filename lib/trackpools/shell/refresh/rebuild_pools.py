"""Rebuild the pools of the users that a refresh concerns, on top of the release in force.

The cost of computing these pools grows with the number of these users, not with the number of all users.
"""

import contextlib
from collections.abc import Callable
from concurrent.futures import Executor, Future, ThreadPoolExecutor

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from trackpools import stages as s
from trackpools.core.als import memory_plan
from trackpools.core.als.fold_in_users import signed_values
from trackpools.core.catalogue import features
from trackpools.core.pools import batch
from trackpools.core.proposals.release_arrays import OpenArrays
from trackpools.core.serving.refresh_scope import unknown_share, users_to_refresh
from trackpools.shell.pipeline.runner import ACTIONS
from trackpools.shell.refresh import warm_up
from trackpools.shell.refresh.refresh_plan import (
    LATEST_TABLES,
    Refresh,
    frames_of_concerned,
    open_release,
    update_cards,
)
from trackpools.shell.refresh.write_refresh import input_changes, next_release, write_pools
from trackpools.shell.releases.releases import Release
from trackpools.shell.spark.persisted import persisted
from trackpools.shell.training.train import fold_in_users
from trackpools.stage import Context


def renew(r: Refresh) -> Release:
    """Rebuild and write the track cards, factors and pools that must change; return the next release.

    The returned release is not published yet. The written pools are checked. The call waits until its
    background threads have ended, even if it raises an error. So none of them runs any more when the caller
    restores the Spark confs.

    Raises:
        ContractError: If a written pool breaks a promise, or the pinned pools are not as they were released.
        InputError: If a version that the release pins no longer exists.

    Example:
        >>> refresh = begin(flow, base, run_key)  # doctest: +SKIP
        >>> release = releases.publish(flow.store, renew(refresh), run_key)  # doctest: +SKIP
        >>> refresh.reasons  # doctest: +SKIP
        {'changed': 12, 'new': 3}
    """
    flow, store = r.flow, r.flow.store
    r.versions |= flow.pin_versions(LATEST_TABLES)
    with contextlib.ExitStack() as held, ThreadPoolExecutor(2) as beside:

        def keep(frame: DataFrame) -> DataFrame:
            return held.enter_context(persisted(frame))

        flow.progress("concerned: find the users whose pool must change")
        worse = update_cards(r, keep)
        read = {name: store.read(name, version) for name, version in r.versions.items()}
        arrays = warm_up.submit(beside, "write the arrays of the release", open_release, r)
        warm_up.prepare(beside, read)
        came = warm_up.submit(beside, "hash the new rows", input_changes, r, dict(r.versions))
        why = keep(users_to_refresh(frames_of_concerned(r, read, worse)))
        r.reasons = {row["reason"]: int(row["count"]) for row in why.groupBy("reason").count().collect()}
        users = keep(why.select("user_idx").distinct())
        r.measured["concerned"] = users.count()  # counted now, so that Spark plans joins with the small size
        flow.progress(f"pools: fold in {int(r.measured['concerned']):,} users and build their pools")
        pools, factors, unknown = _rebuild(r, read, users, keep, beside, arrays=arrays)
        written = write_pools(r, pools, factors, users)
        r.measured["unknown_share"] = unknown.result()
        return next_release(r, [*came.result(), *written])


def _rebuild(
    r: Refresh,
    read: dict[str, DataFrame],
    users: DataFrame,
    keep: Callable[[DataFrame], DataFrame],
    beside: Executor,
    *,
    arrays: Future[OpenArrays],
) -> tuple[DataFrame, DataFrame, Future[float]]:
    """Compute pools and factors of the users, as a full run would with the model in force.

    Args:
        r: The refresh.
        read: Table name → frame.
        users: Frame with the column `user_idx`, distinct.
        keep: Persists a frame for the duration of the refresh.
        beside: Executor of the background threads.
        arrays: The result of `open_release`.

    Returns:
        The pools; the folded-in user factors with `model_version` and `id_version`; and a future of the share
        (0 to 1) of these users' positive evidence that is on recordings unknown to the model.
    """
    flow, config, moment = r.flow, r.flow.config, r.flow.moment
    met, days, ids = (
        read[name].join(users, "user_idx", "left_semi")
        for name in ("interactions", "plays_daily", "user_ids")
    )
    ids = keep(ids)
    some = read | {
        "interactions": keep(met),
        "user_ids": ids,
        "users": keep(read["users"].join(ids, "user_id", "left_semi")),
    }
    model = read["user_factors"].select("model_version", "id_version").limit(1)
    c = Context(
        config,
        moment.as_of,
        moment.known_as_of,
        None,
        r.versions,
        r.run_key,
        r.base.model_version,
        {name: r.base.rows(name) for name in ("recording_factors", "recording_vectors")},
        flow.notes,
        keep,
        ACTIONS,
        arrays.result,
        subset_size=int(r.measured["concerned"]),
    )
    training = s.training_set(some, c)
    recordings, count = read["recording_factors"].select("idx", "factors"), r.base.rows("recording_factors")
    striped = memory_plan.is_striped(count, config.train.rank, config.train)
    factors = keep(
        fold_in_users(signed_values(training, config.train), recordings, config.train, striped=striped)
    )
    unknown = warm_up.submit(beside, "count what is unknown to the model", _unknown, training, recordings)
    known = features.catalogue_facts(read["tracks"], read["recording_ids"])
    like = keep(
        features.user_features(some["interactions"], days, known, read["not_taste"], c.as_of)
    )  # persisted, since every source reads the user features
    some |= {"user_factors": factors, "user_features": like}
    return (
        keep(batch.pools(s.pool_inputs(some, c), c.model_version)),
        factors.crossJoin(F.broadcast(model)),
        unknown,
    )


def _unknown(training: DataFrame, recordings: DataFrame) -> float:
    share = unknown_share(training, recordings).first()
    return float(share["unknown"] or 0.0) if share else 0.0

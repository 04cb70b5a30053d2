"""Tests of the explanation of a pool: which loved recordings led to each new recording.

The explanation uses the release's own lists.
"""

import pytest

from flows import AS_OF, SMALL, events, import_events, run
from trackpools.config.loading import load_config
from trackpools.shell.releases import releases
from trackpools.shell.releases.explain_pool import PoolExplanation
from trackpools.shell.releases.show_pools import show_pools
from trackpools.shell.store.store import Store


@pytest.fixture(scope="module")
def released(spark, tmp_path_factory):
    """Publish a release with a source that proposes neighbours of what a user plays."""
    folder = tmp_path_factory.mktemp("explained")
    config = load_config(
        settings=["mlflow.enabled=false", *SMALL, "sources.als_neighbours.enabled=true"],
        root=str(folder / "root"),
    )
    import_events(config, folder, events())
    run(config, AS_OF)
    return config


@pytest.fixture
def told(spark, released):
    """Return (pool, explanation) of a user."""
    store = Store(spark, released.store)
    release = releases.latest(store)
    return show_pools(store, release, released, ("u001",), 1)[0], PoolExplanation(
        store, release, released, "u001"
    )


@pytest.mark.soak
def test_new_recordings_are_explained_by_what_the_user_plays(spark, released, told):
    pool, explained = told
    because = explained.because()
    new = [(one, reason) for one, reason in zip(pool["candidates"], because, strict=True) if not one["plays"]]
    keyed = {"als_neighbours", "cooccurrence", "artist_graph", "tags"}
    assert {bool(reason) for one, reason in new if keyed & set(one["sources"])} == {True}
    assert not any(reason for one, reason in new if not keyed & set(one["sources"]))
    assert not any(reason for one, reason in zip(pool["candidates"], because, strict=True) if one["plays"])
    # The log has no titles, so a recording is named by its id. Every loved recording was heard.
    store = Store(spark, released.store)
    heard = {
        row["recording_id"]
        for row in store.read("interactions")
        .join(store.read("recording_ids"), "recording_idx")
        .join(store.read("user_ids"), "user_idx")
        .where("user_id = 'u001'")
        .select("recording_id")
        .collect()
    }
    names = {
        reason.removeprefix("because you play ").split(" (")[0]
        for _, reason in new
        if reason and reason.startswith("because you play ")
    }
    assert names
    assert names & heard


@pytest.mark.soak
def test_every_candidate_counts_once_in_each_facet(told):
    pool, explained = told
    facets = explained.by_facet()
    assert {sum(counts.values()) for counts in facets.values()} == {pool["k"]}
    assert facets["familiarity"].get("heard", 0) == sum(
        1 for one in pool["candidates"] if one["plays"] or one["last_day"]
    )

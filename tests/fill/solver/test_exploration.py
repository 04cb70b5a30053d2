"""Tests of the slots of a playlist that are filled by a draw.

All constraints that held still hold, every fitting track is equally likely, and the probability is
recorded.
"""

from collections import Counter, defaultdict

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from catalogues import everything, listener, some
from trackpools.config.loading import load_config
from trackpools.fill.contract.constraints import Constraints, Filter
from trackpools.fill.contract.messages import FillRequest
from trackpools.fill.flow.fill import Clock, fill_playlist
from trackpools.fill.solver.exploration import fill_explore_slots
from trackpools.fill.solver.fill_inputs import FillInputs
from trackpools.fill.solver.verify import verify_constraints

WHO = listener({n: n % 40 for n in range(0, 200, 2)})


def inputs_of(wanted, lot, world, share=0.1, seeds=None):
    config = load_config(settings=[f"fill.explore={share}"])
    return FillInputs(
        world, everything(world), wanted, WHO, seeds or {}, config.fill, config.llm, np.array(lot, np.int64)
    )


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 50),
    st.integers(0, 10_000),
    st.sampled_from(
        [
            Constraints(tracks=20),
            Constraints(tracks=25, artist_cap=2, apart=True),
            Constraints(seconds=3600.0, tolerance=0.03),
            Constraints(tracks=20, arc="rising"),
            Constraints(tracks=15, every=Filter(no_tags=("jazz",), quiet_days=7)),
        ]
    ),
)
def test_constraints_still_hold_and_only_drawn_tracks_enter(seed, prompt, wanted):
    world = some(seed % 5, size=200)
    lot = list(range(150, 200))
    asked_for = inputs_of(wanted, lot, world)
    request = FillRequest(user_id="u", prompt=str(prompt), seed=seed)
    plain = fill_playlist(inputs_of(wanted, [], world), request, None, Clock())
    made = fill_playlist(asked_for, request, None, Clock())
    again = fill_playlist(asked_for, request, None, Clock())
    assert (again.composition.rows.tolist(), again.chances) == (made.composition.rows.tolist(), made.chances)
    before, after = plain.composition.rows, made.composition.rows
    assert {place for place in range(len(after)) if after[place] != before[place]} == set(made.chances)
    assert set(after[list(made.chances)].tolist()) <= set(lot)
    assert len(made.chances) <= int(0.1 * len(before))
    assert all(0 < chance <= 1 for chance in made.chances.values())
    assert len(set(world.song[after].tolist())) == len(after)
    held = {one.name for one in verify_constraints(world, before, wanted, WHO, {}) if one.met}
    assert held <= {one.name for one in made.constraint_results if one.met}


def test_every_fitting_track_has_the_stated_probability():
    world, wanted = some(3, size=200), Constraints(tracks=20)
    asked_for = inputs_of(wanted, range(180, 190), world, share=0.05)
    rows = fill_playlist(
        inputs_of(wanted, [], world), FillRequest(user_id="u"), None, Clock()
    ).composition.rows
    drawn, chance_of = defaultdict(Counter), {}
    for number in range(1500):
        made, chances = fill_explore_slots(asked_for, FillRequest(user_id=f"u{number}"), rows)
        for place, chance in chances.items():
            drawn[place][int(made[place])] += 1
            assert chance_of.setdefault(place, chance) == chance
    assert len(drawn) > 10
    assert {place: round(1 / chance_of[place]) for place in drawn} == {
        place: len(some) for place, some in drawn.items()
    }
    for one in range(180, 190):
        draws = [(some.total(), chance_of[place]) for place, some in drawn.items() if one in some]
        expected, spread = sum(n * p for n, p in draws), sum(n * p * (1 - p) for n, p in draws) ** 0.5
        assert abs(sum(some[one] for some in drawn.values()) - expected) <= 4 * spread


def test_a_seed_keeps_its_place_and_unmet_constraints_do_not_get_worse():
    world = some(4, size=200)
    free = fill_playlist(
        inputs_of(Constraints(tracks=10), [], world), FillRequest(user_id="u"), None, Clock()
    ).composition.rows
    title = "any"
    seeds = {title: int(free[0])}
    wanted = Constraints(tracks=10, seeds=(title,))
    for number in range(30):
        made = fill_playlist(
            inputs_of(wanted, range(150, 200), world, share=1.0, seeds=seeds),
            FillRequest(user_id=f"u{number}"),
            None,
            Clock(),
        )
        assert seeds[title] in made.composition.rows
    unmet = Constraints(tracks=300)
    made = fill_playlist(inputs_of(unmet, range(150, 200), world), FillRequest(user_id="u"), None, Clock())
    assert not made.chances


def test_short_lists_have_no_slot():
    world = some(5, size=200)
    made = fill_playlist(
        inputs_of(Constraints(tracks=20), range(150, 200), world, share=0.04),
        FillRequest(user_id="u"),
        None,
        Clock(),
    )
    assert not made.chances

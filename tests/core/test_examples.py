"""The examples in docstrings hold. Examples that need a Spark session are marked `+SKIP` there."""

import doctest
from importlib import import_module

import pytest


@pytest.mark.parametrize(
    "module",
    [
        "core.als.kernels",
        "core.kernels.list_lookup",
        "core.pools.blend_kernel",
        "core.pools.facet_floors",
        "core.pools.shortlist_kernel",
        "core.topk.approximate",
        "fill.solver.selection",
    ],
)
def test_the_examples_in_docstrings_hold(module):
    result = doctest.testmod(import_module(f"trackpools.{module}"))
    assert result.failed == 0
    assert result.attempted > 0

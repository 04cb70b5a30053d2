"""Tests that every stage reads exactly the tables that it declares, and writes no others.

They read the code and start no Spark.
"""

import ast

import pytest

from source_trees import SOURCES
from trackpools.core.proposals.release_layout import LAYOUTS
from trackpools.stages import STAGES

FUNCTIONS = {node.name: node for node in SOURCES["stages.py"].body if isinstance(node, ast.FunctionDef)}


def names_read(function, seen=()):
    """Return the tables that a function reads, its helpers included.

    These are the names that it subscripts from `read`, or whose version it takes from `c.versions`. A function
    that uses `c.arrays` reads all tables that are laid out as arrays.
    """
    names = set()
    for node in ast.walk(FUNCTIONS[function]):
        if (
            isinstance(node, ast.Subscript)
            and isinstance(node.slice, ast.Constant)
            and isinstance(node.slice.value, str)
        ):
            of_frames = isinstance(node.value, ast.Name) and node.value.id == "read"
            of_versions = isinstance(node.value, ast.Attribute) and node.value.attr in {"versions", "rows"}
            if of_frames or of_versions:
                names.add(node.slice.value)
        if isinstance(node, ast.Attribute) and node.attr == "arrays":
            names |= set(LAYOUTS)
        called = node.func.id if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) else None
        if called in FUNCTIONS and called not in (*seen, function):
            names |= names_read(called, (*seen, function))
    return names


@pytest.mark.parametrize("stage", STAGES, ids=lambda stage: stage.name)
def test_a_body_reads_the_tables_that_its_stage_declares(stage):
    assert names_read(stage.run.__name__) == {table.name for table in stage.reads}

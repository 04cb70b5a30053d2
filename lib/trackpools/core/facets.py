"""Facet floors, compiled by numba: the last slots of a pool complete what a prompt may ask for, such as calm songs of the seventies.

A cell is one value or "any" in each of decade, tempo, group, familiarity and popularity: a recording whose facets are known lies in 31 of them.
"""

from typing import Any

import numpy as np

from trackpools.core.choosing import DIMENSIONS, is_full, take
from trackpools.core.compiled import njit

SUBSETS = 2**DIMENSIONS
NOWHERE = -(2**40)  # what a value that nobody knows adds to a code: below zero with whatever else


@njit(nogil=True, cache=True)
def number(line: Any, count: int, numbers: Any) -> Any:
    """Number the values of each facet from 1 in their order, to `numbers` int64 [DIMENSIONS, 256]; 0 stays unknown. Returns the strides of a cell's code."""
    numbers[:] = 0
    for j in range(count):
        for d in range(DIMENSIONS):
            numbers[d, line.facets[j, d]] = 1
    strides = np.ones(DIMENSIONS + 1, np.int64)  # the first facet weighs most, and 0 is "any"
    for d in range(DIMENSIONS - 1, -1, -1):
        own = 0
        numbers[d, 0] = 0
        for value in range(1, 256):
            own += numbers[d, value]
            numbers[d, value] = own if numbers[d, value] else 0
        strides[d] = strides[d + 1] * (own + 1)
    return strides


@njit(nogil=True, cache=True)
def cells(line: Any, numbers: Any, strides: Any, j: int, codes: Any) -> None:
    """The cell of a candidate for each subset of the facets, to `codes` int64 [SUBSETS]; below 0 where a value is unknown."""
    codes[0] = 0
    for d in range(DIMENSIONS):
        value = numbers[d, line.facets[j, d]]
        adds = value * strides[d + 1] if value else NOWHERE
        for subset in range(1 << d):
            codes[subset | 1 << d] = codes[subset] + adds


@njit(nogil=True, cache=True)
def add(line: Any, numbers: Any, strides: Any, j: int, codes: Any, counts: Any) -> None:
    """Count a candidate in all its cells."""
    cells(line, numbers, strides, j, codes)
    for subset in range(1, SUBSETS):
        if codes[subset] >= 0:
            counts[codes[subset]] += 1


@njit(nogil=True, cache=True)
def lies_in(line: Any, numbers: Any, wanted: Any, j: int) -> Any:
    """Whether a candidate lies in the cell of these numbers, 0 for any."""
    for d in range(DIMENSIONS):
        if wanted[d] != 0 and numbers[d, line.facets[j, d]] != wanted[d]:
            return False
    return True


@njit(nogil=True, cache=True)
def help_of(
    line: Any, numbers: Any, strides: Any, j: int, codes: Any, supply: Any, got: Any, floor: int
) -> int:
    """How much a candidate helps cells that are to be completed, those more that lack less."""
    cells(line, numbers, strides, j, codes)
    told = 0
    for subset in range(1, SUBSETS):
        code = codes[subset]
        if code >= 0 and supply[code] >= floor and got[code] < floor:
            told += 1 + got[code]
    return told


@njit(nogil=True, cache=True)
def complete(line: Any, s: Any, mass: Any, count: int, everybody: int, chosen: int, until: int) -> int:
    """Choose for the cell that lacks least, time and again; returns how many are chosen.

    Only cells that can be completed are: those that hold `floor` of the line, and lack no more than there are slots. Of equals the lower code is
    first. Of a cell those come first that help other cells most, then the order of the line. A cell whose artists and albums are full before it is
    complete is given up.

    Args:
        count: how many of the line may be chosen.
        everybody: length of the line with those that are explored only, some of whom may have been chosen.
    """
    numbers, codes, wanted = (
        np.empty((DIMENSIONS, 256), np.int64),
        np.empty(SUBSETS, np.int64),
        np.empty(DIMENSIONS, np.int64),
    )
    order = np.empty(count, np.int64)
    strides = number(line, everybody, numbers)
    supply, got = np.zeros(strides[0], np.int32), np.zeros(strides[0], np.int32)
    for j in range(everybody):
        if j < count or line.taken[j]:
            add(line, numbers, strides, j, codes, supply)
        if line.taken[j]:
            add(line, numbers, strides, j, codes, got)
    open_, first = np.flatnonzero(supply >= s.floor), 0
    while chosen < until:
        least, kept = -1, 0
        for at in range(len(open_)):
            if got[open_[at]] < s.floor:
                open_[kept] = open_[at]
                least = kept if least < 0 or got[open_[kept]] > got[open_[least]] else least
                kept += 1
        open_ = open_[:kept]
        if least < 0 or s.floor - got[open_[least]] > until - chosen:
            break
        cell = open_[least]
        for d in range(DIMENSIONS):
            wanted[d] = cell % strides[d] // strides[d + 1]
        while first < count and line.taken[first]:
            first += 1
        members = 0
        for j in range(first, count):
            if not line.taken[j] and lies_in(line, numbers, wanted, j):
                order[members] = -help_of(line, numbers, strides, j, codes, supply, got, s.floor) << 32 | j
                members += 1
        order[:members].sort()
        for m in range(members):
            if got[cell] >= s.floor:
                break
            j = order[m] & 0xFFFFFFFF
            if not is_full(line, s, j):
                chosen = take(line, mass, j, chosen)
                add(line, numbers, strides, j, codes, got)
        got[cell] = max(got[cell], s.floor)
    return chosen

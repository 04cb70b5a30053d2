"""Facet floors: spend the last slots of a pool on what a prompt may ask for; compiled by numba.

A prompt may ask for calm songs of the seventies, for example. A facet is one of decade, tempo, group (of
tags), familiarity and popularity. A cell is a combination of facet values: one value, or "any", for each
facet. A recording whose facets are all known is in 31 cells (2⁵, without the cell that is "any" throughout).
A cell is complete if the pool holds at least `floor` recordings of it.
"""

import numpy as np

from trackpools.core.arrays.array_types import Float64Array, Int32Array, Int64Array
from trackpools.core.arrays.kernel_cache import njit
from trackpools.core.pools.greedy_kernel import N_FACETS, BlendSettings, Shortlist, is_full, select

SUBSETS = 2**N_FACETS
UNKNOWN_CODE = -(2**40)  # an unknown value adds this to the code of a cell, so that the code is below zero


@njit(nogil=True, cache=True)
def number_facet_values(line: Shortlist, count: int, numbers: Int64Array) -> Int64Array:
    """Number the facet values that occur in the shortlist, and return the strides of cell codes.

    Args:
        line: the shortlist of the user.
        count: how many candidates of the shortlist, from its start, are looked at.
        numbers: int64 [N_FACETS, 256], the output. `numbers[d, v]` is the number of value v of facet d: the
            values that occur are numbered from 1, in ascending order. It is 0 for the unknown value (v = 0)
            and for values that do not occur.

    Returns:
        int64 [N_FACETS + 1], the strides. The code of a cell is the sum over facets d of
        number · strides[d + 1], where "any" has the number 0. There are `strides[0]` codes.
    """
    numbers[:] = 0
    for j in range(count):
        for d in range(N_FACETS):
            numbers[d, line.facets[j, d]] = 1
    strides = np.ones(N_FACETS + 1, np.int64)  # the first facet has the greatest stride
    for d in range(N_FACETS - 1, -1, -1):
        own = 0
        numbers[d, 0] = 0
        for value in range(1, 256):
            own += numbers[d, value]
            numbers[d, value] = own if numbers[d, value] else 0
        strides[d] = strides[d + 1] * (own + 1)
    return strides


@njit(nogil=True, cache=True)
def cell_codes(line: Shortlist, numbers: Int64Array, strides: Int64Array, j: int, codes: Int64Array) -> None:
    """Write the codes of all cells that candidate `j` is in to `codes`, int64 [SUBSETS].

    Each subset of the facets gives one cell: the candidate's values in these facets, and "any" in the others.
    Bit d of the position in `codes` stands for facet d. A code is below 0 if a value of the subset is
    unknown.
    """
    codes[0] = 0
    for d in range(N_FACETS):
        value = numbers[d, line.facets[j, d]]
        adds = value * strides[d + 1] if value else UNKNOWN_CODE
        for subset in range(1 << d):
            codes[subset | 1 << d] = codes[subset] + adds


@njit(nogil=True, cache=True)
def count_in_cells(
    line: Shortlist,
    numbers: Int64Array,
    strides: Int64Array,
    j: int,
    codes: Int64Array,
    counts: Int32Array,
) -> None:
    """Add 1 to `counts`, int32 by code, for each cell that candidate `j` is in; `codes` is scratch."""
    cell_codes(line, numbers, strides, j, codes)
    for subset in range(1, SUBSETS):
        if codes[subset] >= 0:
            counts[codes[subset]] += 1


@njit(nogil=True, cache=True)
def is_in_cell(line: Shortlist, numbers: Int64Array, wanted: Int64Array, j: int) -> bool:
    """Return whether candidate `j` is in the cell of the numbers `wanted`, int64 [N_FACETS]; 0 is "any"."""
    for d in range(N_FACETS):
        if wanted[d] != 0 and numbers[d, line.facets[j, d]] != wanted[d]:
            return False
    return True


@njit(nogil=True, cache=True)
def cell_gain(
    line: Shortlist,
    numbers: Int64Array,
    strides: Int64Array,
    j: int,
    codes: Int64Array,
    supply: Int32Array,
    got: Int32Array,
    floor: int,
) -> int:
    """Return how much candidate `j` helps to complete cells.

    Every cell of the candidate that is not complete, but can be, adds 1 plus the number of recordings that it
    holds already. So a cell counts more the less it lacks.

    Args:
        line: the shortlist of the user.
        numbers: the output of `number_facet_values`.
        strides: the result of `number_facet_values`.
        j: the position of the candidate in the shortlist.
        codes: int64 [SUBSETS], scratch.
        supply: int32 by code, how many recordings of the shortlist could be in the cell.
        got: int32 by code, how many recordings of the cell are chosen.
        floor: how many recordings complete a cell.
    """
    cell_codes(line, numbers, strides, j, codes)
    gain = 0
    for subset in range(1, SUBSETS):
        code = codes[subset]
        if code >= 0 and supply[code] >= floor and got[code] < floor:
            gain += 1 + got[code]
    return gain


@njit(nogil=True, cache=True)
def fill_floors(
    line: Shortlist, s: BlendSettings, mass: Float64Array, count: int, total: int, chosen: int, until: int
) -> int:
    """Complete one cell after another, the one that lacks least first.

    Only cells that can be completed are considered: the shortlist must hold at least `floor` candidates of
    the cell, and the cell must not lack more candidates than slots are free. Of cells that lack equally many,
    the one with the lower code is first. Within a cell, the candidates of greatest `cell_gain` are chosen
    first; of equal ones, the earlier of the shortlist. A cell that the caps on artists and albums keep from
    being completed is given up.

    Args:
        line: the shortlist of the user.
        s: the settings of the blend.
        mass: float64, the tags of the chosen candidates; see `greedy_kernel.select`.
        count: how many candidates of the shortlist are ordinary; only these may be chosen.
        total: the length of the shortlist with the explored candidates, some of which may already be chosen.
        chosen: how many candidates are chosen already.
        until: how many are to be chosen in all.

    Returns:
        How many candidates are chosen afterwards.

    Example:
        Candidates 0 and 2 have tempo 2; candidates 1 and 3 have tempo 1. Two candidates complete a cell, and
        two slots are free. The cell of tempo 1 has the lower code, so it is completed.

        >>> from trackpools.core.pools.greedy_kernel import allocate_shortlist
        >>> line = allocate_shortlist(4, 2)
        >>> _ = [array.fill(0) for array in line]
        >>> line.artist[:], line.album[:], line.facets[:, 1] = range(4), range(4), [2, 1, 2, 1]
        >>> s = BlendSettings(2, 0, False, True, 0.0, 0.0, 2, 2, 1, 1, explore_bit=-1, explore_slots=0)
        >>> fill_floors(line, s, np.zeros(1), 4, 4, 0, 2)
        2
        >>> line.chosen
        array([1, 3], dtype=int32)
    """
    numbers, codes, wanted = (
        np.empty((N_FACETS, 256), np.int64),
        np.empty(SUBSETS, np.int64),
        np.empty(N_FACETS, np.int64),
    )
    order = np.empty(count, np.int64)
    strides = number_facet_values(line, total, numbers)
    supply, got = np.zeros(strides[0], np.int32), np.zeros(strides[0], np.int32)
    for j in range(total):
        if j < count or line.taken[j]:
            count_in_cells(line, numbers, strides, j, codes, supply)
        if line.taken[j]:
            count_in_cells(line, numbers, strides, j, codes, got)
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
        for d in range(N_FACETS):
            wanted[d] = cell % strides[d] // strides[d + 1]
        while first < count and line.taken[first]:
            first += 1
        members = 0
        for j in range(first, count):
            if not line.taken[j] and is_in_cell(line, numbers, wanted, j):
                order[members] = -cell_gain(line, numbers, strides, j, codes, supply, got, s.floor) << 32 | j
                members += 1
        order[:members].sort()
        for m in range(members):
            if got[cell] >= s.floor:
                break
            j = order[m] & 0xFFFFFFFF
            if not is_full(line, s, j):
                chosen = select(line, mass, j, chosen)
                count_in_cells(line, numbers, strides, j, codes, got)
        got[cell] = max(got[cell], s.floor)
    return chosen

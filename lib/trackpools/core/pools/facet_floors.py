"""Facet floors: spend the last slots of a pool on what a prompt may ask for; compiled by numba.

A prompt may ask for calm songs of the seventies, for example. A facet is one of decade, tempo, group (of
tags), familiarity and popularity. A cell is a combination of facet values: one value, or "any", for each
facet. A recording whose facets are all known is in 31 cells (2⁵, without the cell that is "any" throughout).
A cell is complete if the pool holds at least `floor` recordings of it.
"""

import numpy as np

from trackpools.core.arrays.array_types import Float64Array, Int32Array, Int64Array, Uint8Array
from trackpools.core.arrays.kernel_cache import njit
from trackpools.core.pools.greedy_kernel import N_FACETS, BlendSettings, Shortlist, is_full, select

SUBSETS = 2**N_FACETS
DIGIT = 12  # bits; a number of a facet value needs 8, so −1 equals no number
UNKNOWN_CODE = -(2**40)  # an unknown value adds this to the code of a cell, so that the code is below zero


@njit(nogil=True, cache=True)
def number_facet_values(facets: Uint8Array, count: int, numbers: Int64Array) -> Int64Array:
    """Number the facet values that occur in the shortlist, and return the strides of cell codes.

    Args:
        facets: uint8 [line, N_FACETS], the facets of the shortlist.
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
            numbers[d, facets[j, d]] = 1
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
def cell_codes(
    facets: Uint8Array, numbers: Int64Array, strides: Int64Array, j: int, codes: Int64Array
) -> None:
    """Write the codes of all cells that candidate `j` is in to `codes`, int64 [SUBSETS].

    Each subset of the facets gives one cell: the candidate's values in these facets, and "any" in the others.
    Bit d of the position in `codes` stands for facet d. A code is below 0 if a value of the subset is
    unknown.
    """
    codes[0] = 0
    for d in range(N_FACETS):
        value = numbers[d, facets[j, d]]
        adds = value * strides[d + 1] if value else UNKNOWN_CODE
        for subset in range(1 << d):
            codes[subset | 1 << d] = codes[subset] + adds


@njit(nogil=True, cache=True)
def count_supply(
    line: Shortlist,
    numbers: Int64Array,
    strides: Int64Array,
    count: int,
    total: int,
    supply: Int32Array,
    worth: Int32Array,
) -> None:
    """Add every candidate of the shortlist to its cells.

    Args:
        line: the shortlist of the user.
        numbers: the output of `number_facet_values`.
        strides: the result of `number_facet_values`.
        count: how many candidates of the shortlist are ordinary; of the others, only chosen ones count.
        total: the length of the shortlist.
        supply: int32 by code, 0; how many recordings could be in the cell is added.
        worth: int32 by code, 1; how many recordings of the cell are chosen is added.
    """
    facets, taken, codes = line.facets, line.taken, np.empty(SUBSETS, np.int64)
    for j in range(total):
        if j < count or taken[j]:
            cell_codes(facets, numbers, strides, j, codes)
            for subset in range(1, SUBSETS):
                if codes[subset] >= 0:
                    supply[codes[subset]] += 1
                    worth[codes[subset]] += taken[j]


@njit(nogil=True, cache=True)
def pack_numbers(line: Shortlist, numbers: Int64Array, packed: Int64Array) -> None:
    """Write the facet numbers of each candidate to `packed`, int64, with DIGIT bits for each; −1 if taken."""
    facets, taken = line.facets, line.taken
    for j in range(len(packed)):
        packed[j] = -1 if taken[j] else 0
        for d in range(N_FACETS):
            packed[j] |= numbers[d, facets[j, d]] << DIGIT * d


@njit(nogil=True, cache=True)
def find_members(packed: Int64Array, strides: Int64Array, cell: int, order: Int64Array) -> int:
    """Write the positions of the candidates in a cell that are not taken, and return their number.

    Args:
        packed: int64 [candidates], the output of `pack_numbers`.
        strides: the result of `number_facet_values`.
        cell: the code of the cell.
        order: int64 [candidates + 1], the output.
    """
    mask, wanted, members = 0, 0, 0
    for d in range(N_FACETS):
        number = cell % strides[d] // strides[d + 1]
        if number > 0:
            mask |= ((1 << DIGIT) - 1) << DIGIT * d
            wanted |= number << DIGIT * d
    for j in range(len(packed)):  # every position is written, because the CPU could not predict a branch
        order[members] = j
        members += (packed[j] & mask) == wanted
    return members


@njit(nogil=True, cache=True)
def order_by_gain(
    facets: Uint8Array, numbers: Int64Array, strides: Int64Array, worth: Int32Array, order: Int64Array
) -> None:
    """Order candidates by how much they help to complete cells; of equals, the earlier is first.

    Every cell of a candidate that is not complete, but can be, adds 1 plus the number of recordings that it
    holds already. So a cell counts more the less it lacks.

    Args:
        facets: uint8 [line, N_FACETS], the facets of the shortlist.
        numbers: the output of `number_facet_values`.
        strides: the result of `number_facet_values`.
        worth: int32 by code, what the cell adds; see `fill_floors`.
        order: int64, positions in the shortlist; replaced by −gain · 2³² + position, ascending.
    """
    codes = np.empty(SUBSETS, np.int64)
    for m in range(len(order)):
        gain = 0
        cell_codes(facets, numbers, strides, order[m], codes)
        for subset in range(1, SUBSETS):
            if codes[subset] >= 0:
                gain += worth[codes[subset]]
        order[m] |= -gain << 32
    order.sort()


@njit(nogil=True, cache=True)
def add_to_cells(
    facets: Uint8Array, numbers: Int64Array, strides: Int64Array, j: int, floor: int, worth: Int32Array
) -> None:
    """Add the chosen candidate `j` to its cells in `worth`, int32 by code; complete cells become 0."""
    codes = np.empty(SUBSETS, np.int64)
    cell_codes(facets, numbers, strides, j, codes)
    for subset in range(1, SUBSETS):
        code = codes[subset]
        if code >= 0 and worth[code] > 0:
            worth[code] = worth[code] + 1 if worth[code] < floor else 0


@njit(nogil=True, cache=True)
def find_least_lacking(cells: Int64Array, worth: Int32Array) -> tuple[int, int]:
    """Drop the cells of no worth, and find the first cell of greatest worth, which lacks least.

    Args:
        cells: int64, codes of cells, ascending; the cells that stay are moved to its start.
        worth: int32 by code; see `fill_floors`.

    Returns:
        The place in `cells` of the cell, −1 if none is left, and how many are left.
    """
    least, kept = -1, 0
    for at in range(len(cells)):
        if worth[cells[at]] > 0:
            cells[kept] = cells[at]
            least = kept if least < 0 or worth[cells[kept]] > worth[cells[least]] else least
            kept += 1
    return least, kept


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
        >>> line = allocate_shortlist(4, 2, 0)
        >>> _ = [array.fill(0) for array in line]
        >>> line.artist[:], line.album[:], line.facets[:, 1] = range(4), range(4), [2, 1, 2, 1]
        >>> s = BlendSettings(2, 0, False, True, 0.0, 0.0, 2, 2, 1, 1, explore_bit=-1, explore_slots=0)
        >>> fill_floors(line, s, np.zeros(1), 4, 4, 0, 2)
        2
        >>> line.chosen
        array([1, 3], dtype=int32)
    """
    facets, numbers = line.facets, np.empty((N_FACETS, 256), np.int64)
    strides = number_facet_values(facets, total, numbers)
    # what a cell adds to the gain of a candidate: 1 + how many of it are chosen; 0 if it is complete or given up
    supply, worth = np.zeros(strides[0], np.int32), np.ones(strides[0], np.int32)
    count_supply(line, numbers, strides, count, total, supply, worth)
    for code in range(len(worth)):
        if supply[code] < s.floor or worth[code] > s.floor:
            worth[code] = 0
    order, packed, cells = np.empty(count + 1, np.int64), np.empty(count, np.int64), np.flatnonzero(worth)
    pack_numbers(line, numbers, packed)
    while chosen < until:
        least, kept = find_least_lacking(cells, worth)
        cells = cells[:kept]
        if least < 0 or s.floor + 1 - worth[cells[least]] > until - chosen:
            break
        cell = cells[least]
        members = find_members(packed, strides, cell, order)
        order_by_gain(facets, numbers, strides, worth, order[:members])
        for m in range(members):
            if worth[cell] == 0:
                break
            j = order[m] & 0xFFFFFFFF
            if not is_full(line, s, j):
                chosen = select(line, mass, j, chosen)
                packed[j] = -1
                add_to_cells(facets, numbers, strides, j, s.floor, worth)
        worth[cell] = 0
    return chosen

"""Tiles and grids: each position once, within the limits of CUDA and of 32 bits."""

from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from normwise.kernels.triton.tiling import (
    Shape,
    element_tile,
    merge_tile,
    next_power_of_two,
    power_of_two_in,
    sums_tile,
    whole_tile,
)

MOST_PROGRAMS, MOST_PROGRAMS_ALONG_THE_SECOND_AXIS = 2**31 - 1, 65535
itemsizes = st.sampled_from([2, 4])
processors = st.sampled_from([1, 2, 15, 132, 148])


def shapes(most: int) -> st.SearchStrategy[Shape]:
    sizes = st.integers(1, most)
    return st.builds(
        lambda *layout: Shape.of(layout[:4], layout[4]), sizes, sizes, sizes, st.booleans(), itemsizes
    )


small = shapes(40)
#: Up to a million million elements.
large = st.builds(
    lambda n, c, s, last, size: Shape.of((2**n, c, s if n + s.bit_length() < 30 else 1, last), size),
    st.integers(0, 29),
    st.integers(1, 2**20),
    st.integers(1, 2**29),
    st.booleans(),
    itemsizes,
).filter(lambda shape: shape.total <= 2**40)


@settings(deadline=None, derandomize=True)
@given(small | shapes(600), processors, st.booleans())
def test_the_parts_of_sums_have_each_position_once(
    shape: Shape, multiprocessors: int, backward: bool
) -> None:
    tile = sums_tile(shape, multiprocessors, backward=backward)
    found: Counter[int] = Counter()
    for part in range(tile.parts):
        units = range(part * tile.units_a_part, min((part + 1) * tile.units_a_part, tile.units))
        assert units
        found.update(units)
    assert found == dict.fromkeys(range(shape.outer * tile.chunks), 1)
    assert (tile.chunks - 1) * tile.rows < shape.length <= tile.chunks * tile.rows
    assert (tile.channel_tiles - 1) * tile.channels < shape.channels <= tile.channel_tiles * tile.channels


@settings(deadline=None, derandomize=True, max_examples=300)
@given(large, processors, st.booleans())
def test_sums_keep_to_the_limits(shape: Shape, multiprocessors: int, backward: bool) -> None:
    tile = sums_tile(shape, multiprocessors, backward=backward)
    assert tile.channel_tiles <= MOST_PROGRAMS
    assert tile.parts <= MOST_PROGRAMS_ALONG_THE_SECOND_AXIS
    assert next_power_of_two(tile.rows) == tile.rows
    assert next_power_of_two(tile.channels) == tile.channels
    along_rows, along_channels = (shape.channels, 1) if shape.last else (1, shape.length)
    assert (tile.rows - 1) * along_rows + (tile.channels - 1) * along_channels < 2**31
    # The largest offset into the work memory, and the number of tiles.
    assert 4 * shape.channels + tile.parts + 3 * tile.parts * shape.channels < 2**31
    assert tile.units + tile.units_a_part < 2**31
    # The sums of all parts together are small.
    assert tile.parts == 1 or tile.parts * shape.channels <= 2**16


@settings(deadline=None, derandomize=True)
@given(small | large, st.booleans())
def test_the_pass_over_the_elements_has_each_once(shape: Shape, backward: bool) -> None:
    tile = element_tile(shape, backward=backward)
    assert tile.grid[0] <= MOST_PROGRAMS
    assert tile.grid[1] <= MOST_PROGRAMS_ALONG_THE_SECOND_AXIS
    if shape.last:
        assert (tile.grid[0] - 1) * tile.rows < shape.length <= tile.grid[0] * tile.rows
        assert (tile.grid[1] - 1) * tile.channels < shape.channels <= tile.grid[1] * tile.channels
    else:
        elements = tile.rows * tile.vector
        assert (tile.grid[0] - 1) * elements < shape.total <= tile.grid[0] * elements
        # All elements of a vector are of one channel.
        assert shape.length % tile.vector == 0


@settings(deadline=None, derandomize=True, max_examples=300)
@given(small | shapes(600) | large, st.booleans())
def test_a_program_that_has_whole_channels_has_all_of_them(shape: Shape, many: bool) -> None:
    tile = whole_tile(shape, many_registers=many)
    if tile is None:
        assert shape.total >= 2**31 or shape.outer * shape.length > 128
        return
    positions = shape.outer * shape.length
    assert tile.rows * tile.vector >= positions
    assert tile.programs * tile.channels >= shape.channels
    assert shape.length % tile.vector == 0
    assert tile.rows * tile.vector * tile.channels <= 8192 // (2 if many else 1)
    assert 1 <= tile.warps <= 16


@given(st.integers(1, 2**20), st.integers(1, 65535))
def test_the_merger_has_a_tile_of_2048_numbers(channels: int, parts: int) -> None:
    rows, columns = merge_tile(channels, parts)
    assert rows * columns <= 2048
    assert next_power_of_two(rows) == rows
    assert next_power_of_two(columns) == columns


@given(st.integers(1, 2**31))
def test_powers_of_two(number: int) -> None:
    assert next_power_of_two(number) // 2 < number <= next_power_of_two(number)
    power = power_of_two_in(number, 16)
    assert number % power == 0
    assert power == 16 or number % (2 * power) != 0

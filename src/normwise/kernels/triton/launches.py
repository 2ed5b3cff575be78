"""The launches of a pass: kernels with their types, constants and grids.

Where channels have few positions, one launch keeps them in registers: 2 passes through memory forward and 3 backward,
where two stages take 3 and 5, and 1 launch instead of 3. Else it is two stages: sums by parts and their merger, then
one pass over the elements.
"""

import torch

from normwise.activations import ACTIVATIONS
from normwise.kernels.triton.device import (
    backward,
    input_gradient,
    normalise,
    statistics,
    sums,
    whole_channels,
)
from normwise.kernels.triton.keys import NO_SOURCE, BackwardKey, ForwardKey
from normwise.kernels.triton.launcher import TYPES, Launch
from normwise.kernels.triton.tiling import (
    Shape,
    WholeTile,
    element_tile,
    merge_tile,
    next_power_of_two,
    sums_tile,
    whole_tile,
)

_NUMBERS: dict[str | None, int] = {None: 0} | {name: row.number for name, row in ACTIVATIONS.items()}
_FEW_REGISTERS = frozenset((None, "relu", "relu6", "leaky_relu"))
_EXPONENTIAL = frozenset(("elu", "gelu", "silu", "sigmoid", "tanh"))
#: Numbers of elements, of tensors and of what the last tile has beyond them, have 32 bits.
_MOST_OF_32_BITS = 2**31 - 2**16
#: Warps of a merger, each of whose threads has 8 sums at once, that wait for memory together.
_MERGER_WARPS = 8
#: Channels of a program that has nothing to do but their numbers.
_ONLY_CHANNELS = 128


def whole_tile_of(key: ForwardKey | BackwardKey) -> WholeTile | None:
    """Return the tile of a pass in one launch, or None where it takes two stages."""
    # The average over all batches needs the counter, which one program moves while others still read it.
    if isinstance(key, ForwardKey) and (key.average or not key.training):
        return None
    many = key.masked or key.activation in _EXPONENTIAL
    return whole_tile(Shape.of(key.layout, key.dtype.itemsize), many_registers=many)


def forward_launches(key: ForwardKey, *, batch: bool = False) -> tuple[Launch, ...]:
    """Return the launches of a forward pass: all at once; or sums, merger, normalisation; or those of evaluation.

    With ``batch`` the moments of the batch are written as well.
    """
    shape = Shape.of(key.layout, key.dtype.itemsize)
    element, mask, counter = _pointer(key.dtype), _given(key.masked, "*u8"), _given(key.counted, "*i64")
    weight, bias, running = _pointer(key.weight), _pointer(key.bias), _pointer(key.running)
    moments, residual = _given(batch, "*fp64"), _given(key.added, element)
    off_x, off_residual, off_mask = key.unaligned
    whole = whole_tile_of(key)
    units = shape.units if whole is None else shape.units_at_once
    where, activation = (shape.last, *units), _NUMBERS[key.activation]
    if whole is not None:
        types = (element, residual, mask, weight, bias, running, running, counter, "*fp64", moments, element)
        at_once = Launch(
            whole_channels.forward_at_once,
            (*types, "i32", "i32", "i32", "fp64", "fp64"),
            (activation, *where, whole.rows, whole.channels, whole.vector),
            whole.warps,
            (whole.programs, 1),
            # The output may have taken the input's place.
            _numbers((off_x, 0, 10), (off_residual, 1), (off_mask, 2), (True, 3, 4, 5, 6, 7)),
        )
        return (at_once,)
    final = element_tile(shape, backward=False)
    last = Launch(
        normalise.normalise,
        (element, residual, mask, "*fp32", counter, element, "i32", "i32", _index(shape)),
        (activation, *where, final.rows, final.channels, final.vector),
        final.warps,
        final.grid,
        _numbers((off_x, 0, 5), (off_residual, 1), (off_mask, 2), (True, 4)),
    )
    if not key.training:
        channels = min(_ONLY_CHANNELS, next_power_of_two(shape.channels))
        prepare = Launch(
            normalise.prepare_evaluation,
            (running, running, weight, bias, "*fp64", "*fp32", "i32", "fp64"),
            (channels,),
            1,
            (-(-shape.channels // channels), 1),
            _numbers((True, 0, 1, 2, 3)),
        )
        return prepare, last
    tile = sums_tile(shape, key.multiprocessors, backward=False)
    first = Launch(
        sums.channel_sums,
        (element, mask, "*fp32", "i32", "i32", "i32", "i32", "i32"),
        (*where, tile.rows, tile.channels, 1 if key.masked else tile.vector),
        tile.warps,
        (tile.channel_tiles, tile.parts),
        _numbers((off_x, 0), (off_mask, 1)),
    )
    parts, channels = merge_tile(shape.channels, tile.parts)
    average = _given(key.average, "*i64")
    types = ("*fp32", weight, bias, running, running, average, "*fp64", moments)
    merge = Launch(
        statistics.merge_sums,
        (*types, "i32", "i32", "fp64", "fp64"),
        (key.masked, key.average, parts, channels),
        _MERGER_WARPS,
        (-(-shape.channels // channels), 1),
        _numbers((True, 1, 2, 3, 4, 5)),
    )
    return first, merge, last


def backward_launches(key: BackwardKey) -> tuple[Launch, ...]:
    """Return the launches of a backward pass: all at once; or sums, merger, gradient of the input.

    In evaluation the sums write the gradient of the input as well.
    """
    shape = Shape.of(key.layout, key.dtype.itemsize)
    element, mask = _pointer(key.dtype), _given(key.masked, "*u8")
    source = _given(key.source != NO_SOURCE, element)
    weight, bias = _pointer(key.weight), _pointer(key.bias)
    off_x, off_source, off_gradient, off_mask = key.unaligned
    whole = whole_tile_of(key)
    units = shape.units if whole is None else shape.units_at_once
    where, activation = (shape.last, *units), _NUMBERS[key.activation]
    # The statistics may come back from a graph, as a part of something.
    of_output = _numbers((off_x, 0), (off_source, 1), (off_gradient, 2), (off_mask, 3), (True, 4, 5, 6))
    inputs = (element, source, element, mask, "*fp64", weight, bias, source)
    if whole is not None:
        at_once = Launch(
            whole_channels.backward_at_once,
            (*inputs, element, "*fp32", "*fp32", "i32", "i32", "i32"),
            (
                activation,
                key.source,
                key.from_output,
                key.training,
                *where,
                whole.rows,
                whole.channels,
                whole.vector,
            ),
            whole.warps,
            (whole.programs, 1),
            of_output,
        )
        return (at_once,)
    tile = sums_tile(shape, key.multiprocessors, backward=True)
    # Where so many programs as are started have the registers.
    few = source is None and not key.masked and key.activation in _FEW_REGISTERS
    first = Launch(
        backward.gradient_sums,
        (*inputs, _given(not key.training, element), "*fp32", "i32", "i32", "i32", "i32", "i32"),
        (activation, key.source, key.from_output, *where, tile.rows, tile.channels, shape.last and few),
        tile.warps,
        (tile.channel_tiles, tile.parts),
        of_output,
    )
    parts, channels = merge_tile(shape.channels, tile.parts)
    merge = Launch(
        backward.merge_gradient_sums,
        ("*fp32", "*fp64", weight, bias, "*fp32", "*fp32", "i32", "i32"),
        (key.training, key.from_output, parts, channels),
        _MERGER_WARPS,
        (-(-shape.channels // channels), 1),
        _numbers((True, 1, 2, 3)),
    )
    if not key.training:
        return first, merge
    final = element_tile(shape, backward=True)
    # Behind a residual its gradient is read, which has the slope in it, and lies in memory of our own.
    behind = key.source != NO_SOURCE
    last = Launch(
        input_gradient.input_gradient,
        (element, element, mask, "*fp32", element, "i32", "i32", _index(shape)),
        (0 if behind else activation, key.from_output, *where, final.rows, final.channels, final.vector),
        final.warps,
        final.grid,
        _numbers((off_x, 0), (off_gradient and not behind, 1), (off_mask, 2)),
    )
    return first, merge, last


def _index(shape: Shape) -> str:
    """Return the type that counts all elements: divisions of 64 bits take 100 instructions."""
    return "i32" if shape.total < _MOST_OF_32_BITS else "i64"


def _pointer(dtype: torch.dtype | None) -> str | None:
    return None if dtype is None else "*" + TYPES[dtype]


def _given(condition: bool, kind: str | None) -> str | None:
    return kind if condition else None


def _numbers(*groups: tuple[bool | int, ...]) -> frozenset[int]:
    """Return the numbers of those groups that begin with True."""
    return frozenset(number for given, *numbers in groups if given for number in numbers)

"""The gradient of the input, once the sums of the backward pass are known."""

# Triton's language has types of its own, which Python's don't describe.
# pyright: reportArgumentType=false, reportOperatorIssue=false, reportAttributeAccessIssue=false

import triton
import triton.language as tl

from normwise.kernels.triton.device.backward import gradient_and_distance
from normwise.kernels.triton.device.tiles import tile_of_program


@triton.jit
def input_gradient(
    x,
    gradient_of_sum,
    mask,
    work,
    grad_x,
    channel_units,
    length_units,
    total,
    ACTIVATION: tl.constexpr,
    FROM_OUTPUT: tl.constexpr,
    LAST: tl.constexpr,
    CHANNEL_UNIT: tl.constexpr,
    LENGTH_UNIT: tl.constexpr,
    ROWS: tl.constexpr,
    CHANNELS: tl.constexpr,
    VECTOR: tl.constexpr,
):
    """Write the gradient of the input, of a tile.

    ``gradient_of_sum`` is the gradient of the output; with a residual that of the residual, which has the activation's
    slope in it, and ``ACTIVATION`` is 0.
    """
    C = channel_units * CHANNEL_UNIT
    length = length_units * LENGTH_UNIT
    begin, offset, there, channel, position, inside = tile_of_program(
        C, length, total, LAST, ROWS, CHANNELS, VECTOR
    )
    real = there
    if mask is not None:
        real = there & (tl.load(mask + position, mask=inside, other=0) != 0)
    known = channel < C
    centre = tl.load(work + channel, mask=known, other=0.0)
    scale = tl.load(work + C + channel, mask=known, other=0.0)
    shift = tl.load(work + 2 * C + channel, mask=known, other=0.0)
    slope = tl.load(work + 3 * C + channel, mask=known, other=0.0)
    level = tl.load(work + 4 * C + channel, mask=known, other=0.0)
    x_tile = tl.load(x + begin + offset, mask=there, other=0.0).to(tl.float32)
    gradient = tl.load(gradient_of_sum + begin + offset, mask=there, other=0.0).to(tl.float32)
    gradient, distance = gradient_and_distance(
        x_tile, gradient, gradient, centre, scale, shift, ACTIVATION, 0, FROM_OUTPUT
    )
    of_x = tl.fma(scale, gradient, tl.fma(distance, slope, level))
    if mask is not None:
        of_x = tl.where(real, of_x, 0.0)
    tl.store(grad_x + begin + offset, of_x.to(grad_x.dtype.element_ty), mask=there)

"""The normalisation of a batch whose statistics are known, and the preparation of evaluation, which has them."""

# Triton's language has types of its own, which Python's don't describe.
# pyright: reportArgumentType=false, reportOperatorIssue=false, reportAttributeAccessIssue=false

import triton
import triton.language as tl

from normwise.kernels.triton.device.activations import activate
from normwise.kernels.triton.device.channels import parameters_of
from normwise.kernels.triton.device.statistics import write_statistics
from normwise.kernels.triton.device.tiles import channels_of, tile_of_program


@triton.jit
def prepare_evaluation(running_mean, running_var, weight, bias, saved, work, C, eps, CHANNELS: tl.constexpr):
    """Write the statistics and the lines of evaluation."""
    channel = channels_of(tl.program_id(0), CHANNELS)
    there = channel < C
    mean = tl.load(running_mean + channel, mask=there, other=0.0).to(tl.float32).to(tl.float64)
    variance = tl.load(running_var + channel, mask=there, other=1.0).to(tl.float32).to(tl.float64)
    inverse = 1.0 / tl.sqrt(variance + eps)
    gamma, beta = parameters_of(weight, bias, channel, there)
    write_statistics(saved, work, mean, inverse, gamma, beta, C, channel, there)


@triton.jit
def normalise(
    x,
    residual,
    mask,
    work,
    counter,
    y,
    channel_units,
    length_units,
    total,
    ACTIVATION: tl.constexpr,
    LAST: tl.constexpr,
    CHANNEL_UNIT: tl.constexpr,
    LENGTH_UNIT: tl.constexpr,
    ROWS: tl.constexpr,
    CHANNELS: tl.constexpr,
    VECTOR: tl.constexpr,
):
    """Normalise, add and activate a tile, and count the batch."""
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
    z = tl.fma(tl.load(x + begin + offset, mask=there, other=0.0).to(tl.float32) - centre, scale, shift)
    if residual is not None:
        z += tl.load(residual + begin + offset, mask=there, other=0.0).to(tl.float32)
    z = activate(z, ACTIVATION)
    if mask is not None:
        z = tl.where(real, z, 0.0)
    tl.store(y + begin + offset, z.to(y.dtype.element_ty), mask=there)
    if counter is not None:
        if (tl.program_id(0) == 0) & (tl.program_id(1) == 0):
            counted = (tl.load(work + 3 * C) > 1.0).to(tl.int64)
            tl.store(counter, tl.load(counter) + counted)

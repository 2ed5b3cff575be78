"""One launch a pass for channels with few positions: a program keeps all of them in registers, and reads them once."""

# Triton's language has types of its own, which Python's don't describe.
# pyright: reportArgumentType=false, reportOperatorIssue=false, reportAttributeAccessIssue=false

import triton
import triton.language as tl

from normwise.kernels.triton.device.activations import activate
from normwise.kernels.triton.device.backward import gradient_and_distance, line_back_of
from normwise.kernels.triton.device.channels import gradient_of, line_of, parameters_of
from normwise.kernels.triton.device.statistics import move_statistics
from normwise.kernels.triton.device.tiles import channels_of


@triton.jit
def whole_tile(
    C, length, planes, LAST: tl.constexpr, ROWS: tl.constexpr, CHANNELS: tl.constexpr, VECTOR: tl.constexpr
):
    """Return offsets, whether there is an element, channels, positions and whether there are such, of a program.

    With the channels last a tile is ``(ROWS, CHANNELS)``; else it is one channel, as ``(ROWS, VECTOR)``. Tensors have
    fewer than 2³¹ elements.
    """
    rows = tl.arange(0, ROWS)[:, None]
    if LAST:
        channel = channels_of(tl.program_id(0), CHANNELS)
        inside = rows < length
        there = inside & (channel < C)
        offset = rows * C + channel
        position = rows
    else:
        channel = channels_of(tl.program_id(0), 1)
        inside = rows * VECTOR < planes * length
        there = tl.broadcast_to(inside, [ROWS, VECTOR])
        plane = rows * VECTOR // length
        position = rows * VECTOR + tl.arange(0, VECTOR)[None, :]
        offset = (plane * C + tl.program_id(0)) * length + (position - plane * length)
    return offset, there, channel, position, inside


@triton.jit
def sum_of_channels(tile, LAST: tl.constexpr):
    """Return the sums of channels as a row."""
    if LAST:
        sums = tl.sum(tile, 0)[None, :]
    else:
        sums = tl.sum(tl.sum(tile, 1)[:, None], 0)[None, :]
    return sums


@triton.jit
def forward_at_once(
    x,
    residual,
    mask,
    weight,
    bias,
    running_mean,
    running_var,
    counter,
    saved,
    batch,
    y,
    channel_units,
    length_units,
    planes,
    momentum,
    eps,
    ACTIVATION: tl.constexpr,
    LAST: tl.constexpr,
    CHANNEL_UNIT: tl.constexpr,
    LENGTH_UNIT: tl.constexpr,
    ROWS: tl.constexpr,
    CHANNELS: tl.constexpr,
    VECTOR: tl.constexpr,
):
    """Compute the forward pass of training for a tile of channels."""
    C = channel_units * CHANNEL_UNIT
    length = length_units * LENGTH_UNIT
    offset, there, channel, position, inside = whole_tile(C, length, planes, LAST, ROWS, CHANNELS, VECTOR)
    known = channel < C
    value = tl.load(x + offset, mask=there, other=0.0).to(tl.float32)
    real = there
    if mask is not None:
        real = there & (tl.load(mask + position, mask=inside, other=0) != 0)
    count = sum_of_channels(real.to(tl.float32), LAST)
    least = tl.where(count > 1.0, count, 1.0)
    near = sum_of_channels(tl.where(real, value, 0.0), LAST) / least
    # Any finite number would do; what it misses of the mean is added.
    near = tl.where(tl.abs(near) < float("inf"), near, 0.0)
    away = tl.where(real, value - near, 0.0)
    rest = sum_of_channels(away, LAST) / least
    away = tl.where(real, away - rest, 0.0)
    deviations = sum_of_channels(away * away, LAST).to(tl.float64)
    mean = near.to(tl.float64) + rest.to(tl.float64)
    inverse = 1.0 / tl.sqrt(deviations / least.to(tl.float64) + eps)
    gamma, beta = parameters_of(weight, bias, channel, known)
    tl.store(saved + channel, mean, mask=known)
    tl.store(saved + C + channel, inverse, mask=known)
    n = count.to(tl.float64)
    unbiased = deviations / tl.where(n > 2.0, n - 1.0, 1.0)
    move_statistics(
        running_mean, running_var, counter, batch, mean, unbiased, n, momentum, C, channel, known, False
    )
    centre, scale, shift = line_of(mean, inverse, gamma, beta)
    z = tl.fma(value - centre, scale, shift)
    if residual is not None:
        z += tl.load(residual + offset, mask=there, other=0.0).to(tl.float32)
    z = activate(z, ACTIVATION)
    if mask is not None:
        z = tl.where(real, z, 0.0)
    tl.store(y + offset, z.to(y.dtype.element_ty), mask=there)
    if counter is not None:
        if tl.program_id(0) == 0:
            counted = (tl.max(count) > 1.0).to(tl.int64)
            tl.store(counter, tl.load(counter) + counted)


@triton.jit
def backward_at_once(
    x,
    source,
    grad_y,
    mask,
    saved,
    weight,
    bias,
    grad_residual,
    grad_x,
    grad_weight,
    grad_bias,
    channel_units,
    length_units,
    planes,
    ACTIVATION: tl.constexpr,
    SOURCE: tl.constexpr,
    FROM_OUTPUT: tl.constexpr,
    TRAINING: tl.constexpr,
    LAST: tl.constexpr,
    CHANNEL_UNIT: tl.constexpr,
    LENGTH_UNIT: tl.constexpr,
    ROWS: tl.constexpr,
    CHANNELS: tl.constexpr,
    VECTOR: tl.constexpr,
):
    """Compute the backward pass for a tile of channels."""
    C = channel_units * CHANNEL_UNIT
    length = length_units * LENGTH_UNIT
    offset, there, channel, position, inside = whole_tile(C, length, planes, LAST, ROWS, CHANNELS, VECTOR)
    known = channel < C
    x_tile = tl.load(x + offset, mask=there, other=0.0).to(tl.float32)
    gradient = tl.load(grad_y + offset, mask=there, other=0.0).to(tl.float32)
    other = gradient
    if SOURCE != 0:
        other = tl.load(source + offset, mask=there, other=0.0).to(tl.float32)
    real = there
    if mask is not None:
        real = there & (tl.load(mask + position, mask=inside, other=0) != 0)
    mean = tl.load(saved + channel, mask=known, other=0.0)
    inverse = tl.load(saved + C + channel, mask=known, other=0.0)
    gamma, beta = parameters_of(weight, bias, channel, known)
    centre, scale, shift = line_back_of(mean, inverse, gamma, beta, FROM_OUTPUT)
    gradient, distance = gradient_and_distance(
        x_tile, gradient, other, centre, scale, shift, ACTIVATION, SOURCE, FROM_OUTPUT
    )
    gradient = tl.where(real, gradient, 0.0)
    if grad_residual is not None:
        rounded = gradient.to(grad_residual.dtype.element_ty)
        tl.store(grad_residual + offset, rounded, mask=there)
        gradient = rounded.to(tl.float32)
    distance = tl.where(real, distance, 0.0)
    of_beta = sum_of_channels(gradient, LAST).to(tl.float64)
    count = sum_of_channels(real.to(tl.float32), LAST).to(tl.float64)
    of_gamma, slope, level = gradient_of(
        of_beta,
        sum_of_channels(gradient * distance, LAST).to(tl.float64),
        count,
        mean,
        inverse,
        gamma,
        TRAINING,
        FROM_OUTPUT,
    )
    tl.store(grad_weight + channel, of_gamma.to(tl.float32), mask=known)
    tl.store(grad_bias + channel, of_beta.to(tl.float32), mask=known)
    if TRAINING:
        of_x = tl.fma(scale, gradient, tl.fma(distance, slope, level))
    else:
        # The distance may be anything, and has no part in it.
        of_x = scale * gradient
    of_x = tl.where(real, of_x, 0.0)
    tl.store(grad_x + offset, of_x.to(grad_x.dtype.element_ty), mask=there)

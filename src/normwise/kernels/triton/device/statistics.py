"""The merger of the parts' sums, and the statistics that come of it; for the layout of ``work`` see :mod:`sums`."""

# Triton's language has types of its own, which Python's don't describe.
# pyright: reportArgumentType=false, reportOperatorIssue=false, reportAttributeAccessIssue=false

import triton
import triton.language as tl

from normwise.kernels.triton.device.channels import line_of, parameters_of
from normwise.kernels.triton.device.tiles import channels_of


@triton.jit
def mean_of_part(work, part, parts, C, channel, there):
    """Return means of parts in float64, which two numbers of float32 hold."""
    coarse = work + 4 * C + parts + part * C + channel
    return tl.load(coarse, mask=there, other=0.0).to(tl.float64) + tl.load(
        coarse + parts * C, mask=there, other=0.0
    ).to(tl.float64)


@triton.jit
def merge_sums(
    work,
    weight,
    bias,
    running_mean,
    running_var,
    counter,
    saved,
    batch,
    C,
    parts,
    momentum,
    eps,
    MASKED: tl.constexpr,
    AVERAGE: tl.constexpr,
    PARTS: tl.constexpr,
    CHANNELS: tl.constexpr,
):
    """Merge the parts, write the statistics and the lines of a tile of channels, and move the running statistics."""
    channel = channels_of(tl.program_id(0), CHANNELS)
    there = channel < C
    rows = tl.arange(0, PARTS)[:, None]
    origin = mean_of_part(work, 0, parts, C, channel, there)
    if MASKED:
        # The first part may have no real position: a mean that is near comes first.
        counts = tl.zeros([PARTS, 1], tl.float64)
        sums = tl.zeros([PARTS, CHANNELS], tl.float64)
        for first in range(0, parts, PARTS):
            part = first + rows
            count = tl.load(work + 4 * C + part, mask=part < parts, other=0.0).to(tl.float64)
            sums += count * mean_of_part(work, part, parts, C, channel, (part < parts) & there)
            counts += count
        n = tl.sum(counts, 0)[None, :]
        origin = tl.sum(sums, 0)[None, :] / tl.where(n > 1.0, n, 1.0)
    counts = tl.zeros([PARTS, 1], tl.float64)
    sums = tl.zeros([PARTS, CHANNELS], tl.float64)
    squares = tl.zeros([PARTS, CHANNELS], tl.float64)
    for first in range(0, parts, PARTS):
        part = first + rows
        count = tl.load(work + 4 * C + part, mask=part < parts, other=0.0).to(tl.float64)
        there_too = (part < parts) & there
        away = mean_of_part(work, part, parts, C, channel, there_too) - origin
        away = tl.where(count > 0.0, away, 0.0)
        squares_of_part = work + 4 * C + parts + 2 * parts * C + part * C + channel
        within = tl.load(squares_of_part, mask=there_too, other=0.0).to(tl.float64)
        squares += tl.fma(away, away * count, within)
        sums += count * away
        counts += count
    n = tl.sum(counts, 0)[None, :]
    least = tl.where(n > 1.0, n, 1.0)
    rest = tl.sum(sums, 0)[None, :] / least
    deviations = tl.sum(squares, 0)[None, :] - rest * rest * n
    deviations = tl.where(deviations < 0.0, 0.0, deviations)
    mean = origin + rest
    inverse = 1.0 / tl.sqrt(deviations / least + eps)
    gamma, beta = parameters_of(weight, bias, channel, there)
    write_statistics(saved, work, mean, inverse, gamma, beta, C, channel, there)
    unbiased = deviations / tl.where(n > 2.0, n - 1.0, 1.0)
    if tl.program_id(0) == 0:
        # For the pass that normalises, which counts the batch.
        tl.store(work + 3 * C, tl.sum(counts).to(tl.float32))
    move_statistics(
        running_mean, running_var, counter, batch, mean, unbiased, n, momentum, C, channel, there, AVERAGE
    )


@triton.jit
def write_statistics(saved, work, mean, inverse, gamma, beta, C, channel, there):
    """Write mean and 1 / deviation in float64, and the line that normalises."""
    if saved is not None:
        tl.store(saved + channel, mean, mask=there)
        tl.store(saved + C + channel, inverse, mask=there)
    centre, scale, shift = line_of(mean, inverse, gamma, beta)
    tl.store(work + channel, centre, mask=there)
    tl.store(work + C + channel, scale, mask=there)
    tl.store(work + 2 * C + channel, shift, mask=there)


@triton.jit
def move_statistics(
    running_mean,
    running_var,
    counter,
    batch,
    mean,
    unbiased,
    n,
    momentum,
    C,
    channel,
    there,
    AVERAGE: tl.constexpr,
):
    """Move the running statistics to those of a batch, and write these, where it has two real positions or more."""
    there = there & (n > 1.0)
    if running_mean is not None:
        part = momentum
        if AVERAGE:
            # The counter moves in a later launch: programs read it here in any order.
            part = 1.0 / (tl.load(counter) + 1).to(tl.float64)
        old_mean = tl.load(running_mean + channel, mask=there, other=0.0).to(tl.float32).to(tl.float64)
        old_var = tl.load(running_var + channel, mask=there, other=0.0).to(tl.float32).to(tl.float64)
        new_mean = tl.fma(part, mean - old_mean, old_mean)
        new_var = tl.fma(part, unbiased - old_var, old_var)
        tl.store(
            running_mean + channel, new_mean.to(tl.float32).to(running_mean.dtype.element_ty), mask=there
        )
        tl.store(running_var + channel, new_var.to(tl.float32).to(running_var.dtype.element_ty), mask=there)
    if batch is not None:
        tl.store(batch + channel, mean, mask=there)
        tl.store(batch + C + channel, unbiased, mask=there)

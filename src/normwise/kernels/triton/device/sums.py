"""The statistics of a batch: sums of each channel by parts, and their merger.

The sums are those of Welford (1962), in each lane of a tile around the first value of the part, so that neither a mean
of many deviations nor an outlier in front costs digits; lanes and parts are merged as by Chan, Golub and LeVeque
(1983), in an order that is always the same.

``work`` is float32: for each channel centre, scale and shift of its line, and the count of real positions (so far 4 C
numbers); then the counts of the parts; then, for each part and channel, the mean, what its rounding left, and the
squared deviations.
"""

# Triton's language has types of its own, which Python's don't describe.
# pyright: reportArgumentType=false, reportOperatorIssue=false, reportAttributeAccessIssue=false

import triton
import triton.language as tl

from normwise.kernels.triton.device.channels import line_of, parameters_of
from normwise.kernels.triton.device.tiles import channels_of, tile_in_plane


@triton.jit
def channel_sums(
    x,
    mask,
    work,
    channel_units,
    length_units,
    chunks,
    units,
    units_a_part,
    LAST: tl.constexpr,
    CHANNEL_UNIT: tl.constexpr,
    LENGTH_UNIT: tl.constexpr,
    ROWS: tl.constexpr,
    CHANNELS: tl.constexpr,
    VECTOR: tl.constexpr,
):
    """Write count, mean and squared deviations of a part of the positions, for a tile of channels, into ``work``.

    A unit is a tile of ``ROWS`` positions of one plane, of which a plane has ``chunks``; a part is ``units_a_part`` of
    them. A lane takes ``VECTOR`` positions at once, of which all are in a plane or none; with a mask one.
    """
    C = channel_units * CHANNEL_UNIT
    length = length_units * LENGTH_UNIT
    first_channel = tl.program_id(0) * CHANNELS
    channel = channels_of(tl.program_id(0), CHANNELS)
    real_channel = channel < C
    part = tl.program_id(1)
    first = part * units_a_part
    end = tl.minimum(first + units_a_part, units)
    rows = tl.arange(0, ROWS)[:, None]

    # The first real position of the part.
    unit = first
    row = 0
    if mask is not None:
        row = first * 0 + ROWS
        unit = first - 1
        while (row == ROWS) & (unit < end - 1):
            unit += 1
            start = (unit % chunks) * ROWS
            inside = rows < length - start
            position = (unit // chunks) * length.to(tl.int64) + start + rows
            real = tl.load(mask + position, mask=inside, other=0) != 0
            row = tl.min(tl.where(real, rows, ROWS))
        any_real = row < ROWS
        row = tl.where(any_real, row, 0)
    start = (unit % chunks) * ROWS
    at, column = tile_in_plane(unit // chunks, start + row, first_channel, C, length, LAST, 1, CHANNELS)
    shift = tl.load(x + at + column, mask=real_channel, other=0.0).to(tl.float32)
    if mask is not None:
        # Padding may hold anything.
        shift = tl.where(any_real, shift, 0.0)

    plane = first // chunks
    chunk = first - plane * chunks
    LANES: tl.constexpr = ROWS // VECTOR
    lanes = tl.arange(0, LANES)[:, None] * VECTOR
    count = tl.zeros([LANES, 1], tl.float32)
    mean = tl.zeros([LANES, CHANNELS], tl.float32)
    squares = tl.zeros([LANES, CHANNELS], tl.float32)
    for _ in range(first, end):
        start = chunk * ROWS
        inside = rows < length - start
        begin, offset = tile_in_plane(plane, start, first_channel, C, length, LAST, ROWS, CHANNELS)
        # Padding is read, and not used: asked for each element whether to read it, a GPU reads one at a time.
        value = tl.load(x + begin + offset, mask=inside & real_channel, other=0.0).to(tl.float32)
        new = (lanes < length - start).to(tl.float32) * VECTOR
        if mask is not None:
            position = plane * length.to(tl.int64) + start + rows
            real = inside & (tl.load(mask + position, mask=inside, other=0) != 0)
            value = tl.where(real, value, shift)
            new = real.to(tl.float32)
        mean_of_new = value - shift
        if VECTOR > 1:
            away = tl.reshape(mean_of_new, [LANES, VECTOR, CHANNELS])
            mean_of_new = tl.sum(away, 1) * (1.0 / VECTOR)
            away -= mean_of_new[:, None, :]
            squares += tl.where(new > 0.0, tl.sum(away * away, 1), 0.0)
        count += new
        weight = new / tl.where(count > 1.0, count, 1.0)
        delta = mean_of_new - mean
        # Zero where there is no element, whatever delta is; and zero, not NaN, for the first elements of a lane.
        squares = tl.fma(delta, delta * (new - new * weight), squares)
        mean = tl.fma(delta, weight, mean)
        chunk += 1
        plane = tl.where(chunk == chunks, plane + 1, plane)
        chunk = tl.where(chunk == chunks, 0, chunk)

    total = tl.sum(count)
    centre = tl.sum(mean * count, 0)[None, :] / tl.where(total > 1.0, total, 1.0)
    between = mean - centre
    squares = tl.sum(tl.fma(between, between * count, squares), 0)[None, :]
    part_mean = shift.to(tl.float64) + centre.to(tl.float64)
    # A part with no real position counts nothing, whatever lies there.
    part_mean = tl.where(total > 0.0, part_mean, 0.0)
    coarse = part_mean.to(tl.float32)
    fine = (part_mean - coarse.to(tl.float64)).to(tl.float32)
    parts = tl.num_programs(1)
    out = work + 4 * C + parts + part * C + channel
    tl.store(out, coarse, mask=real_channel)
    tl.store(out + parts * C, tl.where(fine == fine, fine, 0.0), mask=real_channel)
    tl.store(out + 2 * parts * C, squares, mask=real_channel)
    if tl.program_id(0) == 0:
        tl.store(work + 4 * C + part, total)


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

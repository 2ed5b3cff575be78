"""The sums of a batch, of each channel by parts, of which :mod:`statistics` are made.

The sums are those of Welford (1962), in each lane of a tile around the first value of the part, so that neither a mean
of many deviations nor an outlier in front costs digits; lanes and parts are merged as by Chan, Golub and LeVeque
(1983), in an order that is always the same.

``work`` is float32: for each channel centre, scale and shift of its line, and the count of real positions (so far 4 C
numbers); then the counts of the parts; then, for each part and channel, the mean, what its rounding left, and the
squared deviations.
"""

# Triton's language has types of its own, which Python's don't describe.
# pyright: reportArgumentType=false, reportOperatorIssue=false, reportAttributeAccessIssue=false
# Branches on constants are taken when a kernel is compiled.
# pyright: reportPossiblyUnboundVariable=false

import triton
import triton.language as tl

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
    inside = rows < length - chunk * ROWS
    begin, offset = tile_in_plane(plane, chunk * ROWS, first_channel, C, length, LAST, ROWS, CHANNELS)
    # Padding is read, and not used: asked for each element whether to read it, a GPU reads one at a time.
    ahead = tl.load(x + begin + offset, mask=inside & real_channel, other=0.0)
    for unit in range(first, end):
        value = ahead.to(tl.float32)
        start, this_plane = chunk * ROWS, plane
        inside = rows < length - start
        chunk += 1
        plane = tl.where(chunk == chunks, plane + 1, plane)
        chunk = tl.where(chunk == chunks, 0, chunk)
        # The next tile is on its way while this one is computed.
        to_come = rows < tl.where(unit < end - 1, length - chunk * ROWS, 0)
        begin, offset = tile_in_plane(plane, chunk * ROWS, first_channel, C, length, LAST, ROWS, CHANNELS)
        ahead = tl.load(x + begin + offset, mask=to_come & real_channel, other=0.0)
        new = (lanes < length - start).to(tl.float32) * VECTOR
        if mask is not None:
            position = this_plane * length.to(tl.int64) + start + rows
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

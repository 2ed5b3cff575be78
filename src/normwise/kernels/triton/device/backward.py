"""The sums of the backward pass, of each channel by parts, and their merger.

With :math:`d = x - c`, c the mean rounded to float32, and g the gradient of what is activated, the sums are those of g
and g d; the gradient of the input is :math:`s g + k d + j` (see :func:`gradient_of`). Where the output has taken the
input's place, d is the normalised input, computed from it.

``work`` is float32: for each channel c, s, t, k and j (so far 5 C numbers); then the counts of the parts; then, for
each part and channel, the two sums.
"""

# Triton's language has types of its own, which Python's don't describe.
# pyright: reportArgumentType=false, reportOperatorIssue=false, reportAttributeAccessIssue=false
# Branches on constants are taken when a kernel is compiled.
# pyright: reportPossiblyUnboundVariable=false

import triton
import triton.language as tl

from normwise.kernels.triton.device.activations import undo, with_slope
from normwise.kernels.triton.device.channels import gradient_of, line_of, parameters_of
from normwise.kernels.triton.device.tiles import channels_of, tile_in_plane


@triton.jit
def line_back_of(mean, inverse, gamma, beta, FROM_OUTPUT: tl.constexpr):
    """Return float32 c, s, t of the forward pass; from the output c and t are those of ``d = fma(z, c, t)``."""
    centre, scale, shift = line_of(mean, inverse, gamma, beta)
    if FROM_OUTPUT:
        # On a CPU such a γ is refused before the input is overwritten. To ask for its value here would wait for the
        # device; what can't be computed from the output is not a number instead.
        lost = (tl.abs(gamma) < tl.abs(beta) / 1000.0) | (tl.abs(gamma) < 1.17549435e-38)
        divisor = tl.where(lost, 1.0, gamma)
        centre = tl.where(lost, float("nan"), 1.0 / divisor).to(tl.float32)
        shift = (-beta / divisor).to(tl.float32)
    return centre, scale, shift


@triton.jit
def gradient_and_distance(
    x_tile,
    gradient,
    source,
    centre,
    scale,
    shift,
    ACTIVATION: tl.constexpr,
    SOURCE: tl.constexpr,
    FROM_OUTPUT: tl.constexpr,
):
    """Return the gradient of what is activated, and d.

    ``SOURCE`` says what ``source`` is: 0 nothing, 1 the residual, 2 the output.
    """
    if FROM_OUTPUT:
        # The slope at an output and at what was activated are the same: of none, and of a leaky ReLU.
        return with_slope(gradient, x_tile, ACTIVATION), tl.fma(undo(x_tile, ACTIVATION), centre, shift)
    distance = x_tile - centre
    if SOURCE == 2:
        gradient = with_slope(gradient, source, ACTIVATION)
    elif ACTIVATION != 0:
        z = tl.fma(distance, scale, shift)
        if SOURCE == 1:
            z += source
        gradient = with_slope(gradient, z, ACTIVATION)
    return gradient, distance


@triton.jit
def load_tiles(x, grad_y, source, at, there, SOURCE: tl.constexpr):
    """Return tiles of the input, of the gradient of the output, and of the source or, where there is none, that."""
    x_tile = tl.load(x + at, mask=there, other=0.0)
    gradient = tl.load(grad_y + at, mask=there, other=0.0)
    other = gradient
    if SOURCE != 0:
        other = tl.load(source + at, mask=there, other=0.0)
    return x_tile, gradient, other


@triton.jit
def gradient_sums(
    x,
    source,
    grad_y,
    mask,
    saved,
    weight,
    bias,
    grad_residual,
    grad_x,
    work,
    channel_units,
    length_units,
    chunks,
    units,
    units_a_part,
    ACTIVATION: tl.constexpr,
    SOURCE: tl.constexpr,
    FROM_OUTPUT: tl.constexpr,
    LAST: tl.constexpr,
    CHANNEL_UNIT: tl.constexpr,
    LENGTH_UNIT: tl.constexpr,
    ROWS: tl.constexpr,
    CHANNELS: tl.constexpr,
    AHEAD: tl.constexpr,
):
    """Write sums of a part of the positions, for a tile of channels, and the gradient of the residual.

    With ``grad_x``, of evaluation, the gradient of the input as well, which needs no sums. With ``AHEAD`` tiles are
    loaded one turn before they are used, which takes registers.
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
    mean = tl.load(saved + channel, mask=real_channel, other=0.0)
    inverse = tl.load(saved + C + channel, mask=real_channel, other=0.0)
    gamma, beta = parameters_of(weight, bias, channel, real_channel)
    centre, scale, shift = line_back_of(mean, inverse, gamma, beta, FROM_OUTPUT)

    plane = first // chunks
    chunk = first - plane * chunks
    count = tl.zeros([ROWS, 1], tl.float32)
    sum_g = tl.zeros([ROWS, CHANNELS], tl.float32)
    sum_gd = tl.zeros([ROWS, CHANNELS], tl.float32)
    inside = rows < length - chunk * ROWS
    begin, offset = tile_in_plane(plane, chunk * ROWS, first_channel, C, length, LAST, ROWS, CHANNELS)
    if AHEAD:
        there = inside & real_channel
        x_ahead, gradient_ahead, source_ahead = load_tiles(x, grad_y, source, begin + offset, there, SOURCE)
    for unit in range(first, end):
        if not AHEAD:
            inside = rows < length - chunk * ROWS
            begin, offset = tile_in_plane(plane, chunk * ROWS, first_channel, C, length, LAST, ROWS, CHANNELS)
        here, there = begin + offset, inside & real_channel
        if not AHEAD:
            x_tile, gradient, other = load_tiles(x, grad_y, source, here, there, SOURCE)
        real = inside
        if mask is not None:
            position = plane * length.to(tl.int64) + chunk * ROWS + rows
            real = inside & (tl.load(mask + position, mask=inside, other=0) != 0)
        chunk += 1
        plane = tl.where(chunk == chunks, plane + 1, plane)
        chunk = tl.where(chunk == chunks, 0, chunk)
        if AHEAD:
            # The next tiles are on their way while these are computed.
            x_tile, gradient, other = x_ahead, gradient_ahead, source_ahead
            inside = rows < tl.where(unit < end - 1, length - chunk * ROWS, 0)
            begin, offset = tile_in_plane(plane, chunk * ROWS, first_channel, C, length, LAST, ROWS, CHANNELS)
            x_ahead, gradient_ahead, source_ahead = load_tiles(
                x, grad_y, source, begin + offset, inside & real_channel, SOURCE
            )
        x_tile, gradient, other = x_tile.to(tl.float32), gradient.to(tl.float32), other.to(tl.float32)
        gradient, distance = gradient_and_distance(
            x_tile, gradient, other, centre, scale, shift, ACTIVATION, SOURCE, FROM_OUTPUT
        )
        # Padding may hold anything.
        gradient = tl.where(real, gradient, 0.0)
        if grad_residual is not None:
            gradient = gradient.to(grad_residual.dtype.element_ty).to(tl.float32)
            tl.store(grad_residual + here, gradient.to(grad_residual.dtype.element_ty), mask=there)
        if grad_x is not None:
            of_x = tl.where(real, gradient * scale, 0.0)
            tl.store(grad_x + here, of_x.to(grad_x.dtype.element_ty), mask=there)
        count += real.to(tl.float32)
        sum_g += gradient
        sum_gd = tl.where(real, tl.fma(gradient, distance, sum_gd), sum_gd)

    parts = tl.num_programs(1)
    out = work + 5 * C + parts + part * C + channel
    tl.store(out, tl.sum(sum_g, 0)[None, :], mask=real_channel)
    tl.store(out + parts * C, tl.sum(sum_gd, 0)[None, :], mask=real_channel)
    if tl.program_id(0) == 0:
        tl.store(work + 5 * C + part, tl.sum(count))


@triton.jit
def merge_gradient_sums(
    work,
    saved,
    weight,
    bias,
    grad_weight,
    grad_bias,
    C,
    parts,
    TRAINING: tl.constexpr,
    FROM_OUTPUT: tl.constexpr,
    PARTS: tl.constexpr,
    CHANNELS: tl.constexpr,
):
    """Merge the parts, and write the gradients of γ and β and the lines of a tile of channels."""
    channel = channels_of(tl.program_id(0), CHANNELS)
    there = channel < C
    rows = tl.arange(0, PARTS)[:, None]
    counts = tl.zeros([PARTS, 1], tl.float64)
    sum_g = tl.zeros([PARTS, CHANNELS], tl.float64)
    sum_gd = tl.zeros([PARTS, CHANNELS], tl.float64)
    for first in range(0, parts, PARTS):
        part = first + rows
        there_too = (part < parts) & there
        sums = work + 5 * C + parts + part * C + channel
        sum_g += tl.load(sums, mask=there_too, other=0.0).to(tl.float64)
        sum_gd += tl.load(sums + parts * C, mask=there_too, other=0.0).to(tl.float64)
        counts += tl.load(work + 5 * C + part, mask=part < parts, other=0.0).to(tl.float64)
    of_beta = tl.sum(sum_g, 0)[None, :]
    mean = tl.load(saved + channel, mask=there, other=0.0)
    inverse = tl.load(saved + C + channel, mask=there, other=0.0)
    gamma, beta = parameters_of(weight, bias, channel, there)
    of_gamma, slope, level = gradient_of(
        of_beta, tl.sum(sum_gd, 0)[None, :], tl.sum(counts), mean, inverse, gamma, TRAINING, FROM_OUTPUT
    )
    tl.store(grad_weight + channel, of_gamma.to(tl.float32), mask=there)
    tl.store(grad_bias + channel, of_beta.to(tl.float32), mask=there)
    if TRAINING:
        centre, scale, shift = line_back_of(mean, inverse, gamma, beta, FROM_OUTPUT)
        tl.store(work + channel, centre, mask=there)
        tl.store(work + C + channel, scale, mask=there)
        tl.store(work + 2 * C + channel, shift, mask=there)
        tl.store(work + 3 * C + channel, slope, mask=there)
        tl.store(work + 4 * C + channel, level, mask=there)

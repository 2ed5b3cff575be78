"""Tiles of positions by channels: offsets in memory, and whether there is an element.

An input is ``outer`` planes of ``length`` positions in each of ``C`` channels: ``(N, C, L)`` in memory, or, with the
channels last, one plane ``(M, C)``. Sizes come as multiples of powers of 2 that are known when a kernel is compiled, so
that the compiler knows how a row is aligned and reads 16 bytes at once.
"""

# Triton's language has types of its own, which Python's don't describe.
# pyright: reportArgumentType=false, reportOperatorIssue=false, reportAttributeAccessIssue=false

import triton
import triton.language as tl


@triton.jit
def channels_of(tile, CHANNELS: tl.constexpr):
    """Return the channels of a tile as a row ``(1, CHANNELS)``."""
    return (tile * CHANNELS + tl.arange(0, CHANNELS))[None, :]


@triton.jit
def tile_in_plane(
    plane, start, first_channel, C, length, LAST: tl.constexpr, ROWS: tl.constexpr, CHANNELS: tl.constexpr
):
    """Return where a tile ``(ROWS, CHANNELS)`` of positions from ``start`` on begins, in 64 bits, and offsets in it."""
    rows, columns = tl.arange(0, ROWS)[:, None], tl.arange(0, CHANNELS)[None, :]
    if LAST:
        begin = start.to(tl.int64) * C + first_channel
        offset = rows * C + columns
    else:
        begin = (plane.to(tl.int64) * C + first_channel) * length + start
        offset = rows + columns * length
    return begin, offset


@triton.jit
def tile_of_program(
    C, length, total, LAST: tl.constexpr, ROWS: tl.constexpr, CHANNELS: tl.constexpr, VECTOR: tl.constexpr
):
    """Return the tile of a program: begin, offsets, whether there is an element, channels, positions, are there any.

    With the channels last a tile is ``(ROWS, CHANNELS)``, else so many elements in a row, as ``(ROWS, VECTOR)``, where
    all of a vector are of one channel. Programs go backwards through memory: what a pass before read last is still in
    the cache.
    """
    block = (tl.num_programs(0) - 1 - tl.program_id(0)).to(total.dtype)
    rows = tl.arange(0, ROWS)[:, None]
    if LAST:
        first = block * ROWS
        channel = channels_of(tl.program_id(1), CHANNELS)
        inside = rows < length - first
        there = inside & (channel < C)
        begin = first * C
        offset = rows * C + channel
        position = first + rows
    else:
        begin = block * (ROWS * VECTOR)
        plane = begin // length
        within = (begin - plane * length).to(tl.int32) + rows * VECTOR
        further, rest = divide(within, length)
        sample = plane // C
        beyond, channel = divide((plane - sample * C).to(tl.int32) + further, C)
        columns = tl.arange(0, VECTOR)[None, :]
        position = (sample + beyond).to(tl.int64) * length + rest + columns
        inside = rows * VECTOR < total - begin
        there = inside
        offset = rows * VECTOR + columns
    return begin, offset, there, channel, position, inside


@triton.jit
def divide(numbers, divisor):
    """Return quotients, which must be below 2²⁰, and remainders of numbers of 32 bits that are not negative.

    By the reciprocal in float32 of a divisor that all numbers share: divisions of integers take more instructions.
    """
    # Too small by more than all roundings together, so that a quotient is right or 1 too small.
    reciprocal = (1.0 - 2.0**-21) / divisor.to(tl.float32)
    quotients = (numbers.to(tl.float32) * reciprocal).to(tl.int32)
    rest = numbers - quotients * divisor
    short = rest >= divisor
    return tl.where(short, quotients + 1, quotients), tl.where(short, rest - divisor, rest)

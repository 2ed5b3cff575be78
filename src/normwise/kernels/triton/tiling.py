"""Tiles and grids, chosen from shape, order in memory, type and the number of multiprocessors.

Nothing is tuned at run time. The tiles are the best of those that plainer kernels were measured with on one H200 (132
multiprocessors) for bfloat16; float32 has as many bytes in a row. These kernels have not been measured with others.
"""

from dataclasses import dataclass

from normwise.kernels.coverage import Layout

#: Elements of a vector of 16 bytes are read at once where rows are aligned to it.
_VECTOR_BYTES = 16
#: Bytes of a row of channels, where these are last: four sectors of memory.
_ROW_BYTES = 128
#: Channels of a tile of short planes, and sums of channels that all parts write together.
_MOST_CHANNELS, _MOST_SUMS = 128, 2**16
#: Grids have at most so many programs along their second axis.
_MOST_PARTS = 65535
#: Positions with the channels last, and elements of a channel, that one program keeps in registers.
_MOST_ROWS, _MOST_ELEMENTS = 512, 8192
_SECTOR_BYTES = 32


@dataclass(frozen=True, slots=True)
class Shape:
    """An input as the kernels see it: ``outer`` planes of ``length`` positions of ``channels``.

    Attributes:
        outer: Planes: the batch; 1 with the channels last.
        channels: Channels.
        length: Positions of a plane; all positions with the channels last.
        last: Whether the channels are last in memory.
        itemsize: Bytes of an element.
    """

    outer: int
    channels: int
    length: int
    last: bool
    itemsize: int

    @classmethod
    def of(cls, layout: Layout, itemsize: int) -> "Shape":
        """Return the shape of a layout."""
        n, c, s, last = layout
        return cls(1, c, n * s, True, itemsize) if last else cls(n, c, s, False, itemsize)

    @property
    def total(self) -> int:
        """All elements."""
        return self.outer * self.channels * self.length

    @property
    def units(self) -> tuple[int, int]:
        """The powers of 2, up to 16, that divide channels and length; of the axis that is not contiguous, 1."""
        if self.last:
            return power_of_two_in(self.channels, 16), 1
        return 1, power_of_two_in(self.length, 16)

    @property
    def units_at_once(self) -> tuple[int, int]:
        """The units for a pass in one launch, in which a thread has 4 channels at most: each takes 20 registers."""
        of_channels, of_length = self.units
        return min(of_channels, 4), of_length


@dataclass(frozen=True, slots=True)
class SumsTile:
    """Tiles of a pass that sums.

    Attributes:
        rows, channels: Positions and channels of a tile.
        vector: Positions that a lane takes at once: those of a vector, or 1 with the channels last.
        warps: Warps of a program.
        chunks: Tiles along a plane.
        units: Tiles along all planes.
        units_a_part: Of them, those of one program.
        parts: Programs along the positions.
        channel_tiles: Programs along the channels.
    """

    rows: int
    channels: int
    vector: int
    warps: int
    chunks: int
    units: int
    units_a_part: int
    parts: int
    channel_tiles: int


@dataclass(frozen=True, slots=True)
class ElementTile:
    """Tiles of a pass over the elements: ``rows`` by ``channels`` with the channels last, else by ``vector``."""

    rows: int
    channels: int
    vector: int
    warps: int
    grid: tuple[int, int]


@dataclass(frozen=True, slots=True)
class WholeTile:
    """Tiles of a pass in one launch: ``rows`` by ``channels`` with the channels last, else by ``vector``."""

    rows: int
    channels: int
    vector: int
    warps: int
    programs: int


def whole_tile(shape: Shape, *, many_registers: bool) -> WholeTile | None:
    """Return the tile of channels that a program keeps in registers, or None where there are too many positions.

    Args:
        shape: The input.
        many_registers: Whether an element needs twice the registers: for an exponential, or a mask.
    """
    positions = shape.outer * shape.length
    if shape.last:
        # A sector of memory: no byte is read that is not wanted.
        channels, vector = min(next_power_of_two(shape.channels), _SECTOR_BYTES // shape.itemsize), 1
        rows, programs = next_power_of_two(positions), -(-shape.channels // channels)
        fits = positions <= (_MOST_ROWS // 2 if many_registers else _MOST_ROWS)
    else:
        vector, channels = min(shape.units[1], _VECTOR_BYTES // shape.itemsize), 1
        rows, programs = next_power_of_two(positions // vector), shape.channels
        fits = rows * vector <= (_MOST_ELEMENTS // 2 if many_registers else _MOST_ELEMENTS)
    if not fits or shape.total >= 2**31:
        return None
    elements = rows * channels * vector
    # 16 elements a thread, or 8: with more, the registers overflow.
    warps = min(max(elements // (256 if many_registers else 512), 1), 16)
    return WholeTile(rows, channels, vector, warps, programs)


def sums_tile(shape: Shape, multiprocessors: int, *, backward: bool) -> SumsTile:
    """Return the tiles of the sums of the forward or the backward pass."""
    elements = 4096 // max(shape.itemsize, 2)
    if shape.last:
        channels = min(next_power_of_two(shape.channels), _ROW_BYTES // shape.itemsize)
        rows, vector, warps = max(elements // channels, 1), 1, 4
        # As many as have the registers: more would be a second wave, which is never full.
        a_processor = 4 if backward else 5 if shape.itemsize == 2 else 8
    else:
        if shape.length >= 512:
            rows, channels = (256, 4) if backward else (512, 4)
        elif shape.length > 128:
            rows, channels = (256, 4) if backward else (256, 8)
        else:
            rows = next_power_of_two(shape.length)
            channels = min((1024 if backward else 2048) // rows, _MOST_CHANNELS)
        # Offsets within a tile have 32 bits.
        channels = min(channels, next_power_of_two(shape.channels)) if shape.length < 2**26 else 1
        warps, a_processor = (
            (8 if rows * channels >= 2048 else 4),
            8 if backward or shape.length >= 512 else 6,
        )
        vector = min(shape.units[1], _VECTOR_BYTES // shape.itemsize)
    chunks = -(-shape.length // rows)
    units = shape.outer * chunks
    channel_tiles = -(-shape.channels // channels)
    # No more programs than the multiprocessors hold at once, and none with less than two tiles; and not more sums than
    # a fraction of a megabyte holds.
    most = min(_MOST_PARTS, _MOST_SUMS // shape.channels)
    parts = max(1, min(multiprocessors * a_processor // channel_tiles, units // 2, most))
    units_a_part = -(-units // parts)
    return SumsTile(
        rows, channels, vector, warps, chunks, units, units_a_part, -(-units // units_a_part), channel_tiles
    )


def element_tile(shape: Shape, *, backward: bool) -> ElementTile:
    """Return the tiles of the pass that normalises, or of the gradient of the input."""
    if shape.last:
        channels = min(next_power_of_two(shape.channels), 128)
        rows = 2048 // channels
        return ElementTile(rows, channels, 1, 4, (-(-shape.length // rows), -(-shape.channels // channels)))
    elements = 1024 if backward else 2048
    vector = min(shape.units[1], _VECTOR_BYTES // shape.itemsize)
    return ElementTile(elements // vector, 1, vector, 4, (-(-shape.total // elements), 1))


def merge_tile(channels: int, parts: int) -> tuple[int, int]:
    """Return parts and channels of a tile of the merger: few channels a program, so that many programs share it."""
    channel = min(next_power_of_two(channels), 8)
    return min(next_power_of_two(parts), 2048 // channel), channel


def next_power_of_two(number: int) -> int:
    """Return the least power of 2 that is not less."""
    return 1 << max(number - 1, 0).bit_length()


def power_of_two_in(number: int, most: int) -> int:
    """Return the largest power of 2, up to ``most``, that divides a positive number."""
    return min(number & -number, most)

"""Places of collectives: a layer, in its forward or its backward pass."""

import zlib
from dataclasses import dataclass
from functools import cache
from typing import Literal

import torch
from torch import Tensor

#: Number of values in the header of each message.
HEADER = 10
#: Bytes of a header for the layer's name; a longer name is cut at its beginning.
_NAME_BYTES = 8 * (HEADER - 3)
#: Tags and calls have 20 bits, so that the squares of those of thousands of ranks add up exactly in float64.
_BITS = 0xFFFFF
Direction = Literal["forward", "backward"]


@dataclass(frozen=True)
class Place:
    """Place of a collective.

    Attributes:
        layer: Class and path of the layer, for messages.
        direction: Direction of the pass.
        values: Number of values that a rank sends.
        timeout: Seconds that a rank waits there.
    """

    layer: str
    direction: Direction
    values: int
    timeout: float

    def __str__(self) -> str:
        """Return a description for messages."""
        return f"{self.layer} ({self.direction} pass)"

    @property
    def tag(self) -> int:
        """Return a number that identifies the place."""
        return zlib.crc32(f"{self.layer}/{self.direction}/{self.values}".encode()) & _BITS


@cache
def header(place: Place | None, device: torch.device) -> Tensor:
    """Return the header of a forward pass, float64 ``(HEADER,)``, which must not be modified.

    It holds 1, the tag, the number of values and the name; all 0 for a rank without batches.
    """
    numbers = torch.zeros(HEADER, dtype=torch.float64, device="cpu")
    if place is not None:
        numbers[:3] = torch.tensor([1, place.tag, place.values])
        name = place.layer.encode()[-_NAME_BYTES:].rjust(_NAME_BYTES, b"\0")
        numbers[3:] = torch.frombuffer(bytearray(name), dtype=torch.uint8).view(torch.float64)
    return numbers.to(device)


def sum_header(place: Place | None, call: int, device: torch.device) -> Tensor:
    """Return the header of a backward pass, float64 ``(HEADER,)``; there headers are summed.

    It holds 1, the number of values, the tag and its square, the number of the forward pass's call and its square.
    """
    if place is None:
        return torch.zeros(HEADER, dtype=torch.float64, device=device)
    call &= _BITS
    numbers = [1, place.values, place.tag, place.tag**2, call, call**2, *[0] * (HEADER - 6)]
    return torch.tensor(numbers, dtype=torch.float64, device=device)


def agree(sums: list[float]) -> bool:
    """Return whether all headers in this sum were equal."""
    ranks, _, tags, tag_squares, calls, call_squares, *_ = map(int, sums)
    # The sum of squares equals that of the mean only if all numbers are equal.
    return ranks * tag_squares == tags**2 and ranks * call_squares == calls**2


def name_in(header: Tensor) -> str:
    """Return the name of the layer in the header of a forward pass; its beginning may be cut off."""
    letters = header[3:].contiguous().cpu().view(torch.uint8)
    return bytes(letters.tolist()).lstrip(b"\0").decode(errors="ignore")

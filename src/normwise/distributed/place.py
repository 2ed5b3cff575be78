"""Places at which processes meet: a layer, in its forward or its backward pass."""

import zlib
from dataclasses import dataclass
from functools import cache
from typing import Literal

import torch
from torch import Tensor

#: Numbers at the beginning of each message.
HEADER = 10
#: Bytes of a header that are left for the layer's name, of which the end says more than the beginning.
_NAME_BYTES = 8 * (HEADER - 3)
Direction = Literal["forward", "backward"]


@dataclass(frozen=True)
class Place:
    """A place at which processes meet.

    Attributes:
        layer: Class and path of the layer, for people.
        direction: The pass that it is in.
        values: Number of values that a rank sends.
    """

    layer: str
    direction: Direction
    values: int

    def __str__(self) -> str:
        """Return a description for messages."""
        return f"{self.layer} ({self.direction} pass)"

    @property
    def tag(self) -> int:
        """A number of 20 bits, so that the squares of those of thousands of ranks add up exactly in float64."""
        return zlib.crc32(f"{self.layer}/{self.direction}/{self.values}".encode()) & 0xFFFFF


@cache
def header(place: Place | None, device: torch.device) -> Tensor:
    """Return float64 ``(HEADER,)``, not to be written into; all 0 for a rank that takes no part itself.

    Forward it is 1, the tag, the number of values and the name; backward, where headers are added up, 1, the tag and
    its square, the number of values.
    """
    numbers = torch.zeros(HEADER, dtype=torch.float64, device="cpu")
    if place is None:
        return numbers.to(device)
    if place.direction == "backward":
        numbers[:4] = torch.tensor([1, place.tag, place.tag**2, place.values])
        return numbers.to(device)
    numbers[:3] = torch.tensor([1, place.tag, place.values])
    name = place.layer.encode()[-_NAME_BYTES:].rjust(_NAME_BYTES, b"\0")
    numbers[3:] = torch.frombuffer(bytearray(name), dtype=torch.uint8).view(torch.float64)
    return numbers.to(device)


def name_in(header: Tensor) -> str:
    """Return the name of the layer in a header of a forward pass, of which the beginning may be cut off."""
    letters = header[3:].contiguous().cpu().view(torch.uint8)
    return bytes(letters.tolist()).lstrip(b"\0").decode(errors="ignore")

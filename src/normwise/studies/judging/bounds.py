"""Effects of which only a bound is known, because a budget or a sweep ended before what was looked for."""

from dataclasses import dataclass

#: Words of a note that say so.
LOWER, UPPER = "a lower bound", "an upper bound"


@dataclass(frozen=True)
class Unseen:
    """Directions in which an effect may be larger than measured, as a budget ended before what was looked for.

    Attributes:
        below: Whether it may be smaller by any amount.
        above: Whether it may be larger by any amount.
    """

    below: bool = False
    above: bool = False

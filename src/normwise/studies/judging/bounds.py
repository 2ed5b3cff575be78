"""Effects of which only a bound is known, because a budget or a sweep ended before what was looked for."""

from collections.abc import Sequence
from dataclasses import dataclass

from normwise.records import Effect

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


def hedge(note: str) -> str:
    """What a sentence puts before the estimate of an effect with this note; nothing where it is no bound."""
    if LOWER in note:
        # Too small for one reason and too large for another, it is neither.
        return "as far as seen " if UPPER in note else "at least "
    return "at most " if UPPER in note else ""


def times(effect: Effect) -> str:
    """A ratio as a sentence has it: two digits of the estimate, and that it is a bound where it is one."""
    return f"{hedge(effect.note)}{float(f'{effect.estimate:.2g}'):g} times"


def bounds_among(notes: Sequence[str], models: Sequence[str]) -> str:
    """The note of an average over networks: on which of them there is only a bound."""
    kinds = [" and ".join(bound for bound in (LOWER, UPPER) if bound in note) for note in notes]
    return "; ".join(f"{kind} on {model}" for kind, model in zip(kinds, models, strict=True) if kind)

"""Steps that a watch records."""

from dataclasses import dataclass

#: Interval of the records of a long training.
DEFAULT_EVERY = 200


@dataclass(frozen=True)
class Schedule:
    """Every so many steps from the first one on, with or without a dense beginning.

    Attributes:
        every: Interval in steps.
        dense_beginning: Whether steps 1, 2, 4, 8 … before the second record are recorded as well, so that a short
            training has records, too. A long one has a few more of them, whatever its length.
    """

    every: int
    dense_beginning: bool

    def is_due(self, step: int) -> bool:
        """Return whether a step is recorded; the first one has number 0."""
        if step % self.every == 0:
            return True
        return self.dense_beginning and step < self.every and step & (step - 1) == 0


def schedule_of(every: int | None) -> Schedule:
    """Return the schedule for the user's argument ``every``; None has a dense beginning."""
    return Schedule(DEFAULT_EVERY, True) if every is None else Schedule(every, False)

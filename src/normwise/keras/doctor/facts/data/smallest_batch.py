"""Number of values per channel that BN layers get from the smallest batch of the data."""

from dataclasses import dataclass

from normwise.keras.doctor.facts.facts import Facts


@dataclass(frozen=True)
class SmallestBatch:
    """Number of values per channel of one layer.

    Attributes:
        values: Number of values from the smallest batch.
        usual: Number of values from the usual batch.
        samples: Number of samples of the smallest batch.
        place: Description of the smallest batch.
    """

    values: int
    usual: int
    samples: int
    place: str


def values_of_smallest_batch(facts: Facts) -> dict[str, SmallestBatch]:
    """Return the numbers for each layer that normalises by the batch in training; none if normwise cut the batches."""
    batches = facts.batches
    if batches.are_cut or facts.training_pass.failed:
        return {}
    sizes = [batch.size for batch in batches.batches]
    samples = min(size for size in sizes if size) if any(sizes) else 0
    if not samples:
        return {}
    if samples == batches.usual_size:
        place = f"each batch of {samples} sample{'s' * (samples != 1)}"
    elif samples == batches.last_size:
        place = "the last batch"
    else:
        place = f"batch {sizes.index(samples)} (counted from 0)"
    found = {}
    for path in facts.norms:
        calls = facts.training_pass.by_batch(path)
        if not calls or not sizes[0]:
            continue
        fewest = min(call.moments.count for call in calls)
        found[path] = SmallestBatch(
            fewest * samples // sizes[0], fewest * batches.usual_size // sizes[0], samples, place
        )
    return found

"""The smallest batch of the data, and its number of values per channel for each BN layer in training."""

from dataclasses import dataclass

from normwise.doctor.facts.facts import Facts


@dataclass(frozen=True)
class SmallestBatch:
    """Number of values that a BN layer gets from the smallest batch of the data.

    Attributes:
        values: Number of values per channel.
        samples: Number of samples of that batch.
        usual: Number of values per channel from a usual batch.
        place: Description of that batch, such as ``"the last batch"``.
    """

    values: int
    samples: int
    usual: int
    place: str


def values_of_smallest_batch(facts: Facts) -> dict[str, SmallestBatch]:
    """Return the values per channel of each BN layer that normalises by the batch in training, by path.

    They are extrapolated from the training step on the first batch by the number of samples. For a synchronised
    layer they are those of all its processes, each with a batch of that size.
    """
    batches = facts.batches
    first, last = batches.batches[0].size, batches.last_size
    sizes = [batch.size for batch in batches.batches if batch.size > 0]
    if last:
        sizes.append(last)
    if not sizes or first < 1:
        return {}
    smallest = min(sizes)
    if smallest == batches.usual_size:
        place = "every batch" if min(sizes) == max(sizes) else "most batches"
    else:
        place = "the last batch" if smallest == last else "the smallest batch"
    found: dict[str, SmallestBatch] = {}
    for call in facts.step.calls:
        if not call.by_batch or call.in_backward:
            continue
        # A number of values that does not grow with the batch, such as one per forward pass, is used
        # unchanged.
        grows = call.values % first == 0 or call.values > first
        processes = facts.processes_of(call.layer_path)
        values, usual = (
            processes * (max(round(call.values * size / first), 1) if grows else call.values)
            for size in (smallest, batches.usual_size)
        )
        if call.layer_path not in found or values < found[call.layer_path].values:
            found[call.layer_path] = SmallestBatch(values, smallest, usual, place)
    return found

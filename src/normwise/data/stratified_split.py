"""Splits of data that come without one."""

from collections import Counter
from collections.abc import Hashable, Sequence

from normwise.data.sample_order import epoch_order

_TEST_SHARE = 10


def stratified(labels: Sequence[Hashable], share: int = _TEST_SHARE) -> tuple[list[int], list[int]]:
    """Return the indices of training and test samples; one in ``share`` of each class, at least one, is for the test.

    The same for the same labels; each part is in an order of its own, shuffled, so that the first few are of all
    classes. A class of one sample is trained on.
    """
    shuffled = epoch_order(len(labels), seed=0, epoch=0).tolist()
    counts = Counter(labels)
    wanted = {label: max(1, count // share) if count > 1 else 0 for label, count in counts.items()}
    training: list[int] = []
    test: list[int] = []
    for number in shuffled:
        label = labels[number]
        (test if wanted[label] else training).append(number)
        wanted[label] -= wanted[label] > 0
    return training, test

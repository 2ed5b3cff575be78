"""Statistics of all processes of a group of ``torch.distributed``."""

from typing import Any

import keras
import numpy as np
import pytest

from normwise.keras import BatchNormalization
from tests.support.processes import run
from tests.support.replicas.cases import CASES, FEW, UNEQUAL, Batch, Step, batch, check, started

pytestmark = pytest.mark.skipif(
    keras.backend.backend() != "torch", reason="processes of torch.distributed are torch's"
)


def _step(layer: Any, given: Batch) -> Step:
    import torch

    x, weights = torch.tensor(given.x, requires_grad=True), torch.tensor(given.weights)
    y = layer(x, training=True, mask=None if given.mask is None else torch.tensor(given.mask))
    (weights * y.square()).sum().backward()
    gradients = [x.grad, *(v.value.grad for v in layer.trainable_variables)]
    return Step(
        y.detach().numpy(),
        [np.asarray(g) for g in gradients],
        [[w.numpy() for w in layer.non_trainable_variables]],
    )


def _case(name: str) -> tuple[dict[str, Any], Batch, tuple[int, int]]:
    if name in FEW:
        return {}, batch(None, FEW[name], 1), FEW[name]
    arguments, masked = CASES[name]
    return arguments, batch(masked, UNEQUAL), UNEQUAL


def _of_rank(rank: int) -> tuple[dict[str, Step], str]:
    found = {}
    for name in (*CASES, *FEW):
        arguments, given, sizes = _case(name)
        layer = started(BatchNormalization(**arguments, synchronized=True))
        found[name] = _step(layer, given.parts(sizes)[rank])
    return found, _error_of_unlike_masks(rank)


def _error_of_unlike_masks(rank: int) -> str:
    """Return the error where one rank's mask differs between channels; last, as nothing goes on after it."""
    given = batch("some", UNEQUAL).parts(UNEQUAL)[rank]
    layer = started(BatchNormalization(synchronized=True, name="bn"))
    mask = np.repeat(given.mask[..., None], 3, -1) if rank and given.mask is not None else given.mask
    with pytest.raises(Exception, match="not at the same layer") as caught:
        layer(given.x, training=True, mask=mask)
    return str(caught.value)


@pytest.fixture(scope="module")
def ranks() -> list[tuple[dict[str, Step], str]]:
    return run(_of_rank, 2, timeout=240.0)


@pytest.mark.parametrize("case", [*CASES, *FEW])
def test_ranks_of_unequal_size_do_the_step_of_one_process(case: str, ranks: Any) -> None:
    arguments, given, _ = _case(case)
    whole = _step(started(BatchNormalization(**arguments)), given)
    first, second = (steps[case] for steps, _ in ranks)
    of_x = np.concatenate([first.gradients[0], second.gradients[0]])
    of_affine = [a + b for a, b in zip(first.gradients[1:], second.gradients[1:], strict=True)]
    both = Step(np.concatenate([first.y, second.y]), [of_x, *of_affine], [*first.moved, *second.moved])
    check(both, whole)


def test_masks_of_each_channel_on_one_rank_alone_are_an_error_that_says_so(ranks: Any) -> None:
    for _, error in ranks:
        assert "'bn', mask of each channel" in error
        assert "'bn'" in error.replace("'bn', mask of each channel", "")


@pytest.mark.parametrize("case", CASES)
def test_a_process_alone_needs_no_group(case: str) -> None:
    arguments, given, _ = _case(case)
    alone = _step(started(BatchNormalization(**arguments, synchronized=True)), given)
    check(alone, _step(started(BatchNormalization(**arguments)), given))

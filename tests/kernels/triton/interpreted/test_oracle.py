"""Steps by the interpreted kernels against the float64 oracle, over all layouts, types and settings together."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch

from normwise.activations import ACTIVATIONS
from normwise.kernels.triton.tiling import Shape, sums_tile
from tests.kernels.triton.interpreted.expected import expect, numpy
from tests.kernels.triton.interpreted.step import COUNTED, Case, Tensors, compute
from tests.kernels.triton.interpreted.watched import WatchedBackend
from tests.support.kernels.covering import covering

LAST = torch.channels_last
PLAIN = torch.contiguous_format


class Layout(NamedTuple):
    """A shape, its order in memory, and whether a pass takes one launch, where it may."""

    shape: tuple[int, ...]
    memory_format: torch.memory_format
    at_once: bool


LAYOUTS = {
    "planes of 1": Layout((7, 19, 1, 1), PLAIN, True),
    "planes of 5x7": Layout((4, 19, 5, 7), PLAIN, True),
    "planes of 2x6": Layout((3, 8, 2, 6), PLAIN, True),
    "planes of 24": Layout((2, 3, 24), PLAIN, True),
    "planes of 4x8": Layout((5, 1, 4, 8), PLAIN, True),
    "channels last": Layout((3, 19, 5, 4), LAST, True),
    "channels last, 3d": Layout((2, 8, 3, 2, 3), torch.channels_last_3d, True),
    "(33, 100)": Layout((33, 100), PLAIN, True),
    "(17, 1)": Layout((17, 1), PLAIN, True),
    "large planes of 43x51": Layout((5, 3, 43, 51), PLAIN, False),
    "large planes of 30x32": Layout((9, 5, 30, 32), PLAIN, False),
    "one large plane a channel": Layout((1, 3, 104, 100), PLAIN, False),
    "one channel": Layout((3, 1, 4100), PLAIN, False),
    "many planes of 10x10": Layout((86, 5, 10, 10), PLAIN, False),
    "many planes of 7x15": Layout((82, 4, 7, 15), PLAIN, False),
    "large channels last": Layout((3, 19, 15, 14), LAST, False),
    "large channels last, 3d": Layout((2, 8, 7, 6, 8), torch.channels_last_3d, False),
    "(601, 100)": Layout((601, 100), PLAIN, False),
    "(1801, 3)": Layout((1801, 3), PLAIN, False),
}
TYPES = [
    (torch.float32, torch.float32),
    (torch.bfloat16, torch.float32),
    (torch.bfloat16, torch.bfloat16),
    (torch.float16, torch.float32),
    (torch.float16, torch.float16),
]
#: Whether there are running statistics, momentum, whether there is a counter.
RUNNING = [
    (True, 0.1, False),
    (True, 0.3, True),
    (True, None, True),
    (True, None, False),
    (False, 0.1, False),
    (False, None, True),
]
FACTORS = {
    "layout": list(LAYOUTS),
    "types": TYPES,
    "activation": [None, *ACTIVATIONS],
    "residual": [False, True],
    "masked": [False, True],
    "training": [True, True, False],
    "affine": [(True, True), (True, False), (False, True), (False, False)],
    "running": RUNNING,
    "inplace": [False, True],
}


def possible(values: Mapping[str, Any]) -> bool:
    """Return whether there is such a call."""
    undone = values["activation"] in (None, "leaky_relu") and not values["residual"]
    return (undone or not values["inplace"]) and (values["training"] or values["running"][0])


def cases() -> list[Any]:
    found = []
    for values in covering(FACTORS, possible, 160):
        shape, memory_format, _ = LAYOUTS[values["layout"]]
        dtype, parameters = values["types"]
        weight, bias = values["affine"]
        running, momentum, counter = values["running"]
        case = Case(
            shape,
            memory_format,
            dtype,
            parameters,
            values["activation"],
            values["residual"],
            values["masked"],
            values["training"],
            values["inplace"],
            weight,
            bias,
            running,
            momentum,
            counter,
        )
        words = [values["layout"], str(dtype)[6:], str(parameters)[6:], values["activation"] or "none"]
        words += [
            name
            for name in ("residual", "masked", "training", "inplace", "weight", "bias", "running", "counter")
            if getattr(case, name)
        ]
        found.append(pytest.param(values["layout"], case, id="-".join([*words, str(momentum)])))
    return found


@pytest.mark.parametrize(("layout", "case"), cases())
def test_a_step_is_the_oracles_but_for_rounding(layout: str, case: Case, triton: WatchedBackend) -> None:
    tensors = Tensors(case)
    expected = expect(case, tensors)
    results = compute(case, tensors)
    at_once = LAYOUTS[layout].at_once
    assert [plan.at_once for plan in triton.forwards] == [at_once and case.training and not case.average]
    assert [plan.at_once for plan in triton.backwards] == [at_once]
    for name, value in expected.values.items():
        got = getattr(results, name)
        if got is not None:
            smallest = torch.finfo(got.dtype).smallest_normal * torch.finfo(got.dtype).eps
            off = np.abs(numpy(got) - value)
            assert (off <= expected.bounds[name] + smallest).all(), (
                name,
                float((off / (expected.bounds[name] + smallest)).max()),
            )
    off = np.abs(numpy(triton.kept) - expected.saved)
    assert (off <= expected.saved_bounds).all(), float((off / expected.saved_bounds).max())
    if results.counter is not None:
        assert results.counter == COUNTED + case.training
    assert results.output.stride() == tensors.x.stride()
    assert results.grad_x.stride() == tensors.x.stride()
    if not case.training:
        for after, before in ((results.mean, tensors.mean), (results.var, tensors.var)):
            assert after is not None
            assert before is not None
            assert torch.equal(after, before)


def test_two_stages_are_tested_with_parts_chunks_and_ragged_tails() -> None:
    tiles = []
    for layout in LAYOUTS.values():
        if not layout.at_once:
            n, c, *rest = layout.shape
            s = int(np.prod(rest))
            last = layout.memory_format is not PLAIN or s == 1
            tiles.append(sums_tile(Shape.of((n, c, s, last), 4), 2, backward=False))
    assert all(tile.parts >= 3 for tile in tiles)
    assert any(tile.chunks > 1 for tile in tiles)
    assert any(tile.parts * tile.units_a_part > tile.units for tile in tiles)
    assert any(tile.channel_tiles > 1 for tile in tiles)

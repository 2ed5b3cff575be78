"""Values, states and statistics against the NumPy oracle; gradients against finite differences."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

LENGTHS = torch.tensor([3, 7, 1, 7, 5, 6])
KINDS = ("BatchNormLSTM", "LayerNormLSTM", "BatchNormGRU", "LayerNormGRU")
_STATES = {"LSTM": 2, "GRU": 1}

Make = Callable[..., Any]


def _states(last: Any) -> tuple[Tensor, ...]:
    return last if isinstance(last, tuple) else (last,)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_outputs_states_and_statistics_are_the_oracles(
    kind: str,
    bidirectional: bool,
    bias: bool,
    training: bool,
    make: Make,
    oracle: Callable[..., Any],
    sequences: list[Tensor],
    padded: Tensor,
) -> None:
    layer = make(kind, bidirectional=bidirectional, bias=bias, batch_first=True).train(training)
    expected = oracle(layer, sequences)
    output, last = layer(padded, lengths=LENGTHS)
    for row, values in enumerate(expected.outputs):
        np.testing.assert_allclose(output[row, : len(values)].detach().numpy(), values, rtol=0, atol=1e-12)
        assert not output[row, len(values) :].any()
    for number, state in enumerate(_states(last)):
        np.testing.assert_allclose(state.detach().numpy(), expected.last[:, :, number], rtol=0, atol=1e-12)
    for name, (mean, variance) in expected.statistics.items():
        norm = layer.get_submodule(name)
        # The last step that was reached is the sixth, and there are statistics for five.
        np.testing.assert_allclose(norm.running_mean.numpy(), mean, rtol=0, atol=1e-12)
        np.testing.assert_allclose(norm.running_var.numpy(), variance, rtol=0, atol=1e-12)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("kind", KINDS)
def test_gradcheck_of_ragged_sequences(kind: str, training: bool, make: Make) -> None:
    layer = make(kind, bidirectional=True).train(training)
    lengths = torch.tensor([2, 4, 3])
    x = torch.randn(4, 3, 4, dtype=torch.float64, requires_grad=True)
    state = tuple(
        torch.randn(2, 3, 5, dtype=torch.float64, requires_grad=True)
        for _ in range(2 if "LSTM" in kind else 1)
    )
    parameters = list(layer.parameters())

    def run(x: Tensor, *rest: Tensor) -> Tensor:
        # Buffers of its own for each call, which would else change what the next one computes with.
        named = {name: buffer.clone() for name, buffer in layer.named_buffers()}
        named |= zip((name for name, _ in layer.named_parameters()), rest[len(state) :], strict=True)
        begin: Any = rest[: len(state)] if len(state) > 1 else rest[0]
        output, last = torch.func.functional_call(layer, named, (x, begin), {"lengths": lengths})
        return torch.cat([output.flatten(), *(each.flatten() for each in _states(last))])

    assert torch.autograd.gradcheck(run, (x, *state, *parameters))


@pytest.mark.parametrize("kind", ["BatchNormLSTM", "BatchNormGRU"])
def test_statistics_of_sequences_of_one_length_are_those_of_each_step(kind: str, make: Make) -> None:
    layer = make(kind, max_length=3, momentum=None)
    for norm in (layer.norm_ih_l0, layer.norm_hh_l0):
        norm.reset_running_stats()
    x = torch.randn(3, 50, 4, dtype=torch.float64)
    layer(x)
    values = x @ layer.weight_ih_l0.t()
    assert torch.allclose(layer.norm_ih_l0.running_mean, values.mean(1), rtol=0, atol=1e-12)
    assert torch.allclose(layer.norm_ih_l0.running_var, values.var(1), rtol=0, atol=1e-12)
    assert layer.norm_ih_l0.num_batches_tracked.tolist() == [1, 1, 1]

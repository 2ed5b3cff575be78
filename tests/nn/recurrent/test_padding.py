"""Padding takes no part: not in outputs, statistics or gradients, whatever it holds."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

LENGTHS = torch.tensor([3, 7, 1, 7, 5, 6])


def _all_of(layer: Any, padded: Tensor) -> list[Tensor]:
    """Outputs, states, gradients and buffers."""
    x = padded.clone().requires_grad_()
    output, last = layer(x, lengths=LENGTHS)
    states = last if isinstance(last, tuple) else (last,)
    torch.stack(
        [(1 + number) * each.square().sum() for number, each in enumerate((output, *states))]
    ).sum().backward()
    gradients = [x.grad, *(parameter.grad for parameter in layer.parameters())]
    first, *rest = [gradient for gradient in gradients if gradient is not None]
    assert len(rest) == len(list(layer.parameters()))
    assert not output[:, 7:].any()
    assert not first[:, 7:].any()
    return [output[:, :7], *states, first[:, :7], *rest, *(buffer.clone() for buffer in layer.buffers())]


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("kind", ["BatchNormLSTM", "LayerNormLSTM", "BatchNormGRU", "LayerNormGRU"])
def test_more_padding_changes_nothing(
    kind: str, training: bool, make: Callable[..., Any], padded: Tensor
) -> None:
    results = []
    for more in (0, 5):
        layer = make(kind, num_layers=2, bidirectional=True, batch_first=True).train(training)
        behind = torch.full((len(padded), more, padded.shape[2]), float("inf"), dtype=padded.dtype)
        results.append(_all_of(layer, torch.cat([padded, behind], dim=1)))
    for without, with_more in zip(*results, strict=True):
        assert torch.allclose(without, with_more, rtol=0, atol=1e-12)


@pytest.mark.parametrize("kind", ["BatchNormLSTM", "LayerNormLSTM", "BatchNormGRU", "LayerNormGRU"])
def test_in_evaluation_a_sequence_alone_is_what_it_is_among_others(
    kind: str, make: Callable[..., Any], padded: Tensor
) -> None:
    layer = make(kind, bidirectional=True, batch_first=True).eval()
    together, _ = layer(padded, lengths=LENGTHS)
    for row, length in enumerate(LENGTHS.tolist()):
        alone, _ = layer(padded[row : row + 1, :length])
        assert torch.allclose(alone[0], together[row, :length], rtol=0, atol=1e-12)

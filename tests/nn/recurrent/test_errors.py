"""Errors for impossible arguments, in the user's terms, that name the layer."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence

from normwise.errors import ArgumentError, ShapeError
from normwise.nn import BatchNormLSTM, LayerNormGRU, LayerNormLSTM

X = torch.zeros(6, 2, 3)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"hidden_size": 0}, "hidden_size must be 1 or more, got 0"),
        ({"num_layers": 0}, "num_layers must be 1 or more, got 0"),
        ({"dropout": 1.5}, "dropout must be a probability from 0 to 1, got 1.5"),
        ({"proj_size": 5}, "proj_size must be from 0 to hidden_size - 1, got 5"),
        ({"max_length": 0}, "max_length must be 1 or more, got 0"),
    ],
)
def test_an_argument_that_cannot_be(arguments: dict[str, Any], message: str) -> None:
    made: dict[str, Any] = {"hidden_size": 5} | arguments
    with pytest.raises(ArgumentError, match=message):
        BatchNormLSTM(3, **made)


@pytest.mark.parametrize(
    ("input", "arguments", "kind", "message"),
    [
        (
            torch.zeros(6, 2, 4),
            {},
            ShapeError,
            r"expected an input of shape \(L, N, F\).* with F = 3, got \(6, 2, 4\)",
        ),
        (torch.zeros(6, 2, 1, 3), {}, ShapeError, r"got \(6, 2, 1, 3\)"),
        (torch.zeros(0, 2, 3), {}, ShapeError, r"got \(0, 2, 3\)"),
        (torch.zeros(6, 3), {"lengths": torch.tensor([6])}, ArgumentError, "lengths are for a batch"),
        (
            X,
            {"lengths": torch.tensor([6])},
            ShapeError,
            r"expected lengths of shape \(2,\), one for each sequence, got \(1,\)",
        ),
        (X, {"lengths": torch.tensor([6.0, 1.0])}, ArgumentError, "got torch.float32"),
        (X, {"lengths": "61"}, ArgumentError, "expected lengths as whole numbers .*, got str"),
        (X, {"hx": (1, 2)}, ArgumentError, r"expected h_0 as a tensor of shape \(1, 2, 5\), got int"),
        (X, {"lengths": torch.tensor([7, 1])}, ArgumentError, "expected lengths from 1 to 6, got 1 to 7"),
        (X, {"lengths": torch.tensor([6, 0])}, ArgumentError, "got 0 to 6; leave empty sequences out"),
        (X, {"hx": (torch.zeros(1, 2, 5),)}, ArgumentError, r"expected the states \(h_0, c_0\), got tuple"),
        (X, {"hx": torch.zeros(1, 2, 5)}, ArgumentError, r"expected the states \(h_0, c_0\), got Tensor"),
        (
            X,
            {"hx": (torch.zeros(1, 2, 5), torch.zeros(1, 3, 5))},
            ShapeError,
            r"expected c_0 of shape \(1, 2, 5\), got \(1, 3, 5\)",
        ),
    ],
)
def test_a_wrong_call(input: Tensor, arguments: dict[str, Any], kind: type[Exception], message: str) -> None:
    for layer in (BatchNormLSTM(3, 5), LayerNormLSTM(3, 5)):
        with pytest.raises(kind, match=f"^{type(layer).__name__}: .*{message}"):
            layer(input, **arguments)


def test_a_wrong_packed_sequence() -> None:
    packed = pack_padded_sequence(torch.zeros(6, 2, 4), torch.tensor([6, 2]))
    with pytest.raises(ShapeError, match=r"a PackedSequence of data \(total, 3\), got \(8, 4\)"):
        LayerNormGRU(3, 5)(packed)
    with pytest.raises(ArgumentError, match="a PackedSequence knows its lengths"):
        LayerNormGRU(4, 5)(packed, lengths=torch.tensor([6, 2]))


def test_the_error_names_the_layer_in_its_model() -> None:
    model = nn.Sequential(nn.Identity(), LayerNormLSTM(3, 5))
    with pytest.raises(ShapeError, match=r"^LayerNormLSTM '1': expected an input"):
        model(torch.zeros(6, 2, 4))

"""The example: made up or given, and what it proves."""

import math
from typing import Any

import keras
import numpy as np
import pytest
import torch
from torch import Tensor, nn

import normwise as nw
from normwise.errors import ArgumentError, ModelError
from tests.keras.porting.mlp import keras_mlp, mlp
from tests.keras.porting.port_cases import NOT_ON_JAX

L = keras.layers


def test_a_subclassed_model_is_moved_with_an_example() -> None:
    class Net(keras.Model):
        def __init__(self) -> None:
            super().__init__()
            self.hidden, self.norm, self.out = L.Dense(5), L.BatchNormalization(), L.Dense(5)

        def call(self, x: Any) -> Any:
            return self.out(keras.ops.relu(self.norm(self.hidden(x))))

    target, x = Net(), torch.randn(3, 4)
    target(x.numpy())
    with pytest.raises(ArgumentError, match="the Keras model does not say which inputs it takes"):
        nw.port(mlp(), target)
    assert nw.port(mlp(), target, example=x).output_error < 1e-5


@NOT_ON_JAX
def test_padding_of_sequences_is_left_out_of_the_comparison() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.lstm = nn.LSTM(3, 4, batch_first=True)
            self.norm = nw.nn.SequenceBatchNorm(4, batch_first=True)
            self.last = nn.GRU(4, 2, batch_first=True)

        def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
            packed = nn.utils.rnn.pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
            hidden, _ = nn.utils.rnn.pad_packed_sequence(
                self.lstm(packed)[0], batch_first=True, total_length=x.shape[1]
            )
            normed = self.norm(hidden, lengths)
            packed = nn.utils.rnn.pack_padded_sequence(
                normed, lengths, batch_first=True, enforce_sorted=False
            )
            return self.last(packed)[1][0]

    target = keras.Sequential(
        [
            keras.Input((None, 3)),
            L.Masking(),
            L.LSTM(4, return_sequences=True),
            L.BatchNormalization(),
            L.GRU(2),
        ]
    )
    x, lengths = torch.randn(3, 5, 3), torch.tensor([5, 2, 3])
    x[torch.arange(5) >= lengths[:, None]] = 0
    report = nw.port(Net(), target, example=(x, lengths), target_example=x)
    assert [layer.kind for layer in report.layers] == ["lstm", "batch_norm", "gru"]
    assert max(layer.output_error for layer in report.layers) < 1e-5


@NOT_ON_JAX
def test_a_stateful_layer_begins_anew_and_keeps_its_state() -> None:
    layer: Any = L.LSTM(4, stateful=True)
    target = keras.Sequential([keras.Input((5, 3), batch_size=2), layer])
    x = torch.randn(2, 5, 3)
    nw.port(nn.LSTM(3, 4, batch_first=True), target, example=x)
    assert not np.any(keras.ops.convert_to_numpy(layer.states[0]))


@pytest.mark.skipif(keras.backend.backend() != "torch", reason="on a CPU TensorFlow has no such convolution")
@pytest.mark.parametrize("flatten", ["channels_first", "channels_last"])
def test_keras_may_have_channels_first_too(flatten: str) -> None:
    source = nn.Sequential(nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(48, 3))
    layers = [
        L.Conv2D(4, 3, data_format="channels_first"),
        L.BatchNormalization(axis=1),
        L.Flatten(flatten),
        L.Dense(3),
    ]
    target = keras.Sequential([keras.Input((2, 5, 6)), *layers])
    assert nw.port(source, target).output_error < 1e-5
    assert nw.port(target, source, example=torch.randn(2, 2, 5, 6).numpy()).output_error < 1e-5


def _dead(bias: float) -> nn.Module:
    """Return a network whose ReLU lets nothing through unless its inputs are large."""
    torch.manual_seed(0)
    first = nn.Linear(4, 5)
    nn.init.constant_(first.bias, bias)
    return nn.Sequential(first, nn.ReLU(), nn.Linear(5, 5))


def _keras_dead() -> Any:
    return keras.Sequential([keras.Input((4,)), L.Dense(5), L.ReLU(), L.Dense(5)])


def test_made_up_inputs_grow_until_they_tell_something() -> None:
    report = nw.port(_dead(-40.0), _keras_dead())
    assert [layer.output_error < 1e-5 for layer in report.layers] == [True, True]
    assert report.output_error < 1e-5
    assert not report.notes


def test_outputs_that_are_the_same_everywhere_are_no_proof() -> None:
    report = nw.port(_dead(-1e9), _keras_dead(), example=torch.randn(3, 4))
    assert [math.isnan(layer.output_error) for layer in report.layers] == [True, True]
    assert math.isnan(report.output_error)
    assert "2 layers moved from torch to keras, not proven: nothing of the two could be compared" in str(
        report
    )
    assert "not proven: on the example the inputs or outputs of 0, 2 are the same everywhere" in str(report)
    assert "not proven: the source returns the same for all of the example" in str(report)


def test_a_fault_behind_a_dead_activation_is_found_all_the_same() -> None:
    target = keras.Sequential([keras.Input((4,)), L.Dense(5), L.ReLU(max_value=1.0), L.Dense(5)])
    with pytest.raises(ModelError, match=r"'2' \(Linear\) and .* give other outputs on the example"):
        nw.port(_dead(-40.0), target)


def test_an_example_of_one_value_is_refused() -> None:
    with pytest.raises(ArgumentError, match="the example is 0 everywhere, so that it proves nothing"):
        nw.port(mlp(), keras_mlp(), example=torch.zeros(3, 4))

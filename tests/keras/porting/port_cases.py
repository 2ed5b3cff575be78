"""Networks of both frameworks that are to compute the same, one for each kind of layer."""

from collections.abc import Callable
from typing import Any, NamedTuple

import keras
import pytest
import torch
from torch import Tensor, nn

import normwise as nw
from normwise.keras import BatchNormalization
from normwise.keras.networks.parts.layer_norm_lstm_cell import LayerNormLSTMCell

L = keras.layers


class Case(NamedTuple):
    """One network in both frameworks.

    Attributes:
        torch: Makes torch's.
        keras: Makes the layers of Keras's.
        shape: Of a sample as Keras takes it.
        entries: Size of the vocabulary, where samples are of whole numbers.
    """

    torch: Callable[[], nn.Module]
    keras: Callable[[], list[Any]]
    shape: tuple[int, ...]
    entries: int = 0


class Sequences(nn.Module):
    """A recurrent layer, of which all outputs or the last are given."""

    def __init__(self, layer: nn.Module, last: bool = False) -> None:
        super().__init__()
        self.layer, self.last = layer, last

    def forward(self, x: Tensor) -> Tensor:
        """Give ``(N, L, C)``, or ``(N, C)`` of the last."""
        outputs, states = self.layer(x)
        state = states[0] if isinstance(states, tuple) else states
        directions = 2 if self.layer.bidirectional else 1
        return state[-directions:].transpose(0, 1).flatten(1) if self.last else outputs


CASES: dict[str, Case] = {
    "dense": Case(lambda: nn.Linear(5, 3), lambda: [L.Dense(3)], (5,)),
    "dense_without_bias": Case(lambda: nn.Linear(5, 3, bias=False), lambda: [L.Dense(3, use_bias=False)], (5,)),
    "dense_over_time": Case(lambda: nn.Linear(5, 3), lambda: [L.Dense(3)], (4, 5)),
    "conv1d": Case(lambda: nn.Conv1d(3, 4, 3, stride=2), lambda: [L.Conv1D(4, 3, strides=2)], (9, 3)),
    "conv2d": Case(
        lambda: nn.Conv2d(3, 4, (3, 5), padding="same"),
        lambda: [L.Conv2D(4, (3, 5), padding="same")],
        (6, 5, 3),
    ),
    "conv3d": Case(lambda: nn.Conv3d(2, 3, 2), lambda: [L.Conv3D(3, 2)], (4, 3, 5, 2)),
    "dilated": Case(lambda: nn.Conv2d(3, 4, 3, dilation=2), lambda: [L.Conv2D(4, 3, dilation_rate=2)], (7, 7, 3)),
    "grouped": Case(lambda: nn.Conv2d(4, 6, 3, groups=2), lambda: [L.Conv2D(6, 3, groups=2)], (6, 5, 4)),
    "depthwise": Case(
        lambda: nn.Conv2d(3, 6, (3, 2), groups=3), lambda: [L.DepthwiseConv2D((3, 2), depth_multiplier=2)], (6, 5, 3)
    ),
    "depthwise1d": Case(lambda: nn.Conv1d(3, 3, 3, groups=3), lambda: [L.DepthwiseConv1D(3)], (6, 3)),
    "separable": Case(
        lambda: nn.Sequential(nn.Conv2d(3, 6, 3, groups=3, bias=False), nn.Conv2d(6, 4, 1)),
        lambda: [L.SeparableConv2D(4, 3, depth_multiplier=2)],
        (6, 5, 3),
    ),
    "conv1d_transposed": Case(
        lambda: nn.ConvTranspose1d(3, 4, 3, stride=2), lambda: [L.Conv1DTranspose(4, 3, strides=2)], (5, 3)
    ),
    "conv2d_transposed": Case(
        lambda: nn.ConvTranspose2d(3, 4, (3, 2)), lambda: [L.Conv2DTranspose(4, (3, 2))], (5, 4, 3)
    ),
    "conv3d_transposed": Case(lambda: nn.ConvTranspose3d(2, 3, 2), lambda: [L.Conv3DTranspose(3, 2)], (3, 4, 2, 2)),
    "batch_norm": Case(lambda: nn.BatchNorm1d(5), lambda: [L.BatchNormalization()], (5,)),
    "batch_norm_1d": Case(
        lambda: nn.Sequential(nn.Conv1d(3, 4, 2), nn.BatchNorm1d(4)),
        lambda: [L.Conv1D(4, 2), L.BatchNormalization()],
        (6, 3),
    ),
    "batch_norm_2d": Case(lambda: nn.BatchNorm2d(3), lambda: [BatchNormalization()], (4, 5, 3)),
    "batch_norm_3d": Case(lambda: nw.nn.BatchNorm3d(3), lambda: [BatchNormalization()], (2, 4, 5, 3)),
    "batch_norm_unbiased": Case(
        lambda: nw.nn.BatchNorm2d(3, momentum=None),
        lambda: [BatchNormalization(momentum=None, unbiased_moving_variance=True)],
        (4, 5, 3),
    ),
    "batch_norm_without_affine": Case(
        lambda: nn.BatchNorm2d(3, affine=False), lambda: [L.BatchNormalization(center=False, scale=False)], (4, 5, 3)
    ),
    "batch_renorm": Case(lambda: nw.nn.BatchRenorm2d(3), lambda: [BatchNormalization(renorm=True)], (4, 5, 3)),
    "fused": Case(
        lambda: nn.Sequential(nn.Conv2d(3, 4, 3), nw.nn.BatchNorm2d(4, activation="relu")),
        lambda: [L.Conv2D(4, 3), BatchNormalization(activation="relu")],
        (6, 5, 3),
    ),
    "layer_norm": Case(lambda: nn.LayerNorm(5), lambda: [L.LayerNormalization()], (4, 5)),
    "group_norm": Case(lambda: nn.GroupNorm(2, 4), lambda: [L.GroupNormalization(2)], (4, 5, 4)),
    "embedding": Case(lambda: nn.Embedding(9, 4), lambda: [L.Embedding(9, 4)], (6,), 9),
    "lstm": Case(
        lambda: Sequences(nn.LSTM(5, 3, batch_first=True)), lambda: [L.LSTM(3, return_sequences=True)], (6, 5)
    ),
    "lstm_last": Case(lambda: Sequences(nn.LSTM(5, 3, batch_first=True), last=True), lambda: [L.LSTM(3)], (6, 5)),
    "lstm_cell": Case(
        lambda: Sequences(nn.LSTM(5, 3, batch_first=True), last=True), lambda: [L.RNN(L.LSTMCell(3))], (6, 5)
    ),
    "lstm_without_bias": Case(
        lambda: Sequences(nn.LSTM(5, 3, bias=False, batch_first=True), last=True),
        lambda: [L.LSTM(3, use_bias=False)],
        (6, 5),
    ),
    "bilstm": Case(
        lambda: Sequences(nn.LSTM(5, 3, batch_first=True, bidirectional=True)),
        lambda: [L.Bidirectional(L.LSTM(3, return_sequences=True))],
        (6, 5),
    ),
    "bilstm_last": Case(
        lambda: Sequences(nn.LSTM(5, 3, batch_first=True, bidirectional=True), last=True),
        lambda: [L.Bidirectional(L.LSTM(3))],
        (6, 5),
    ),
    "two_lstms": Case(
        lambda: Sequences(nn.LSTM(5, 3, num_layers=2, batch_first=True), last=True),
        lambda: [L.LSTM(3, return_sequences=True), L.LSTM(3)],
        (6, 5),
    ),
    "gru": Case(
        lambda: Sequences(nn.GRU(5, 3, batch_first=True)), lambda: [L.GRU(3, return_sequences=True)], (6, 5)
    ),
    "two_bigrus": Case(
        lambda: Sequences(nn.GRU(5, 3, num_layers=2, batch_first=True, bidirectional=True), last=True),
        lambda: [L.Bidirectional(L.GRU(3, return_sequences=True)), L.Bidirectional(L.GRU(3))],
        (6, 5),
    ),
    "layer_norm_lstm": Case(
        lambda: Sequences(nw.nn.LayerNormLSTM(5, 3, batch_first=True, bidirectional=True)),
        lambda: [L.Bidirectional(L.RNN(LayerNormLSTMCell(3), return_sequences=True))],
        (6, 5),
    ),
    "flattened_image": Case(
        lambda: nn.Sequential(nn.Conv2d(3, 4, 3), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(24, 5)),
        lambda: [L.Conv2D(4, 3), L.MaxPooling2D(), L.Flatten(), L.Dense(5)],
        (6, 8, 3),
    ),
    "flattened_input": Case(
        lambda: nn.Sequential(nn.Flatten(), nn.Linear(24, 5)), lambda: [L.Flatten(), L.Dense(5)], (2, 4, 3)
    ),
    "flattened_signal": Case(
        lambda: nn.Sequential(nn.Conv1d(3, 4, 2), nn.Flatten(), nn.Linear(20, 5)),
        lambda: [L.Conv1D(4, 2), L.Reshape((-1,)), L.Dense(5)],
        (6, 3),
    ),
    "flattened_sequence": Case(
        lambda: nn.Sequential(Sequences(nn.GRU(5, 3, batch_first=True)), nn.Flatten(), nn.Linear(18, 2)),
        lambda: [L.GRU(3, return_sequences=True), L.Flatten(), L.Dense(2)],
        (6, 5),
    ),
    "norm_of_flattened": Case(
        lambda: nn.Sequential(
            nn.Conv2d(2, 3, 3), nn.Flatten(), nn.BatchNorm1d(36), nn.LayerNorm(36), nn.Dropout(), nn.Linear(36, 5)
        ),
        lambda: [
            L.Conv2D(3, 3), L.Flatten(), L.BatchNormalization(), L.LayerNormalization(), L.Dropout(0.5), L.Dense(5),
        ],
        (5, 6, 2),
    ),
    "pooled": Case(
        lambda: nn.Sequential(nn.Conv2d(2, 3, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 5)),
        lambda: [L.Conv2D(3, 3), L.GlobalAveragePooling2D(), L.Dense(5)],
        (5, 6, 2),
    ),
    "activated_in_keras": Case(
        lambda: nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 3), nn.Tanh()),
        lambda: [L.Dense(6, activation="relu"), L.Dense(3, activation="tanh")],
        (4,),
    ),
    "sequence_norm": Case(
        lambda: nn.Sequential(
            Sequences(nn.LSTM(5, 3, batch_first=True)), nw.nn.SequenceBatchNorm(3, batch_first=True), nn.Linear(3, 2)
        ),
        lambda: [L.LSTM(3, return_sequences=True), L.BatchNormalization(), L.Dense(2)],
        (6, 5),
    ),
}  # fmt: skip

#: JAX compiles each operation by itself, and a recurrent layer anew each time, which takes seconds; weights go through
#: NumPy alike.
_ON_JAX = ("conv2d", "depthwise", "batch_norm_2d", "batch_norm_unbiased", "lstm_last", "flattened_image")


NOT_ON_JAX = pytest.mark.skipif(
    keras.backend.backend() == "jax",
    reason="JAX compiles each operation, and a recurrent layer anew each time; what is tested is in NumPy",
)


def cases() -> dict[str, Case]:
    """Return the cases that the backend runs."""
    return {name: CASES[name] for name in _ON_JAX} if keras.backend.backend() == "jax" else CASES


def torch_model(case: Case, seed: int = 0) -> nn.Module:
    """Return torch's network with random weights and statistics, in evaluation."""
    torch.manual_seed(seed)
    model = case.torch()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, tensor in model.state_dict().items():
            if tensor.is_floating_point():
                values = torch.rand(tensor.shape, generator=generator)
                tensor.copy_(values + 0.5 if "var" in name else values - 0.5)
            else:
                tensor.fill_(7)
        for name, tensor in model.state_dict().items():
            if "bias_hh" in name and any(isinstance(one, nn.LSTM) for one in model.modules()):
                tensor.zero_()  # Keras has one bias, in which both would be added up
    return model.eval()


def keras_model(case: Case) -> Any:
    """Return Keras's network with its initial weights."""
    kind = "int32" if case.entries else None
    return keras.Sequential([keras.Input(case.shape, dtype=kind), *case.keras()])


def is_moved(case: Case) -> bool:
    """Return whether torch has the channels of the inputs behind the batch."""
    first = next(m for m in case.torch().modules() if not list(m.children()))
    return len(case.shape) > 2 or isinstance(first, (nn.Conv1d, nn.ConvTranspose1d))


def samples(case: Case) -> tuple[Tensor, Any]:
    """Return two samples as torch takes them, and as Keras does."""
    generator = torch.Generator().manual_seed(3)
    if case.entries:
        x = torch.randint(case.entries, (2, *case.shape), generator=generator)
    else:
        x = torch.randn(2, *case.shape, generator=generator)
    return (x.movedim(-1, 1) if is_moved(case) else x), x.numpy()

"""BN107: BN over the time steps of a sequence."""

import pytest
import torch
from torch import Tensor, nn

import normwise


class _Model(nn.Module):
    """Parts that are called one after another, of which functions move values."""

    def __init__(self, *parts: object) -> None:
        super().__init__()
        self.parts = parts
        self.layers = nn.ModuleList(part for part in parts if isinstance(part, nn.Module))

    def forward(self, x: Tensor) -> Tensor:
        for part in self.parts:
            x = part(x)  # type: ignore[operator]
            x = x[0] if isinstance(x, tuple) else x
        return x


def _transposed(x: Tensor) -> Tensor:
    return x.transpose(1, 2)


def _found(model: nn.Module, x: Tensor) -> list[str]:
    return [finding.code for finding in normwise.diagnose(model, [x], select=["BN107"]).findings]


@pytest.mark.parametrize(
    "model",
    [
        _Model(nn.LSTM(4, 6, batch_first=True), nn.BatchNorm1d(5)),
        _Model(nn.Linear(4, 5), nn.BatchNorm1d(5)),
        _Model(nn.Linear(4, 5), nn.ReLU(), nn.Dropout(0.1), nn.BatchNorm1d(5)),
        _Model(nn.Linear(4, 6), nn.LayerNorm(6), lambda x: x + 1, nn.BatchNorm1d(5)),
        _Model(nn.BatchNorm1d(5), nn.GRU(4, 6, batch_first=True)),
        _Model(nn.Linear(4, 6), _transposed, _transposed, nn.BatchNorm1d(5)),
    ],
    ids=["lstm", "as many features as steps", "activation", "layer norm", "input of a gru", "there and back"],
)  # fmt: skip
def test_features_on_the_last_axis_are_found(model: nn.Module) -> None:
    assert _found(model, torch.randn(16, 5, 4)) == ["BN107"]


def test_words_are_found() -> None:
    model = _Model(nn.Embedding(10, 6), nn.BatchNorm1d(5))
    assert _found(model, torch.randint(10, (16, 5))) == ["BN107"]


def test_images_with_channels_last_are_found() -> None:
    diagnosis = normwise.diagnose(
        _Model(nn.Linear(3, 5), nn.BatchNorm2d(5)), [torch.randn(4, 5, 5, 3)], select=["BN107"]
    )
    (finding,) = diagnosis.findings
    assert "BatchNorm2d(5)" in finding.fix


@pytest.mark.parametrize(
    "model",
    [
        _Model(nn.LSTM(4, 6, batch_first=True), _transposed, nn.BatchNorm1d(6)),
        _Model(nn.Linear(4, 6), lambda x: x.flatten(0, 1), nn.BatchNorm1d(6)),
        _Model(nn.LSTM(4, 6, batch_first=True), normwise.nn.SequenceBatchNorm(6, batch_first=True)),
        _Model(_transposed, nn.Linear(5, 6), nn.BatchNorm1d(4)),
        _Model(_transposed, nn.Conv1d(4, 6, 1), nn.Linear(5, 5), nn.BatchNorm1d(6)),
        _Model(_transposed, nn.Conv1d(4, 6, 1), nn.BatchNorm1d(6)),
        _Model(_transposed, nn.Conv1d(4, 6, 1), nn.BatchNorm1d(6), nn.LSTM(5, 3, batch_first=True)),
        _Model(nn.BatchNorm1d(5), nn.Linear(4, 3)),
        _Model(nn.Linear(4, 6), lambda x: x.view(-1, 5, 2, 3).transpose(1, 2), nn.BatchNorm2d(2)),
    ],
    ids=[
        *("transposed", "flattened", "our layer", "mixing of steps", "steps behind channels", "convolution"),
        *("convolution before an lstm", "input alone", "heads"),
    ],
)  # fmt: skip
def test_channels_on_axis_1_and_what_is_unknown_are_left(model: nn.Module) -> None:
    assert _found(model, torch.randn(16, 5, 4)) == []

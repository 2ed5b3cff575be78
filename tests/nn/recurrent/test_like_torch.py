"""Forms of input and output are torch's; with norms that do nothing, so are the numbers."""

from collections.abc import Callable
from itertools import product
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence

from normwise.nn import BatchNormGRU, BatchNormLSTM, LayerNormGRU, LayerNormLSTM
from normwise.nn.recurrent import StepBatchNorm

OURS: list[type[Any]] = [BatchNormLSTM, LayerNormLSTM, BatchNormGRU, LayerNormGRU]
LENGTHS = torch.tensor([2, 6, 3, 6])


class _Nothing(nn.Module):
    """A norm that does nothing."""

    def forward(self, values: Tensor, step: int = 0) -> Tensor:
        return values

    def reset_parameters(self) -> None:
        pass


def _torchs(kind: type[Any]) -> type[Any]:
    return nn.LSTM if kind in (BatchNormLSTM, LayerNormLSTM) else nn.GRU


def _pair(kind: type[Any], **arguments: Any) -> tuple[Any, Any]:
    """Torch's layer, and ours with its weights and biases and without norms, both in float64."""
    torch.manual_seed(0)
    theirs = _torchs(kind)(3, 5, dtype=torch.float64, **arguments)
    ours = kind(3, 5, dtype=torch.float64, **arguments)
    for path in [path for path, _ in ours.named_modules()]:
        if path.startswith("norm_"):
            setattr(ours, path, _Nothing())
    with torch.no_grad():
        for name in ours.all_names:
            for weight in ("weight_ih", "weight_hh", "weight_hr"):
                if f"{weight}_{name}" in dict(theirs.named_parameters()):
                    ours.get_parameter(f"{weight}_{name}").copy_(theirs.get_parameter(f"{weight}_{name}"))
            b_x, b_h = theirs.get_parameter(f"bias_ih_{name}"), theirs.get_parameter(f"bias_hh_{name}")
            if _torchs(kind) is nn.LSTM:
                ours.get_parameter(f"bias_{name}").copy_(b_x + b_h)
            else:
                gates = b_x[:10] + b_h[:10]
                ours.get_parameter(f"bias_{name}").copy_(torch.cat([gates, b_x[10:], b_h[10:]]))
    return theirs, ours


def _tensors(result: Any) -> list[Tensor]:
    output, last = result
    states = list(last) if isinstance(last, tuple) else [last]
    return [*(output[:2] if isinstance(output, PackedSequence) else [output]), *states]


# Torch's GRU has no projection.
_CASES = [
    (kind, {"num_layers": layers, "bidirectional": both, "batch_first": first} | projection)
    for layers, both, first in product((1, 2), (False, True), (False, True))
    for kind in OURS
    for projection in ([{}, {"proj_size": 2}] if _torchs(kind) is nn.LSTM else [{}])
]


@pytest.mark.parametrize("form", ["plain", "unbatched", "sorted", "unsorted"])
@pytest.mark.parametrize(("kind", "arguments"), _CASES, ids=lambda case: str(case))
def test_without_norms_they_are_torchs(kind: type[Any], arguments: dict[str, Any], form: str) -> None:
    theirs, ours = _pair(kind, **arguments)
    x: Any = torch.randn(4, 6, 3, dtype=torch.float64)
    if form == "unbatched":
        x = x[0]
    elif form == "plain" and not arguments["batch_first"]:
        x = x.transpose(0, 1)
    elif form in ("sorted", "unsorted"):
        lengths = LENGTHS.sort(descending=True).values if form == "sorted" else LENGTHS
        x = pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=form == "sorted")
    _, last = theirs(x)
    states = last if isinstance(last, tuple) else (last,)
    drawn = [torch.randn_like(state) for state in states]
    for begin in (None, tuple(drawn) if len(drawn) > 1 else drawn[0]):
        for got, expected in zip(_tensors(ours(x, begin)), _tensors(theirs(x, begin)), strict=True):
            assert got.shape == expected.shape
            assert torch.allclose(got, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("kind", OURS)
def test_lengths_are_what_packing_says(kind: type[Any], batch_first: bool) -> None:
    layer = kind(3, 5, 2, bidirectional=True, batch_first=batch_first, dtype=torch.float64).eval()
    x = torch.randn(4, 8, 3, dtype=torch.float64)
    packed = pack_padded_sequence(x, LENGTHS, batch_first=True, enforce_sorted=False)
    output, last = layer(x if batch_first else x.transpose(0, 1), lengths=LENGTHS)
    of_packed, last_of_packed = layer(packed)
    padded, _ = nn.utils.rnn.pad_packed_sequence(of_packed, batch_first=batch_first, total_length=8)
    assert torch.equal(output, padded)
    assert all(map(torch.equal, _tensors((output, last))[1:], _tensors((output, last_of_packed))[1:]))


@pytest.mark.parametrize(
    "arguments", [{}, {"num_layers": 2, "bidirectional": True}, {"bias": False}], ids=str
)
@pytest.mark.parametrize("kind", OURS)
def test_with_the_same_seed_the_weights_are_torchs(kind: type[Any], arguments: dict[str, Any]) -> None:
    torch.manual_seed(3)
    theirs = _torchs(kind)(3, 5, **arguments).state_dict()
    torch.manual_seed(3)
    ours = kind(3, 5, **arguments).state_dict()
    weights = [name for name in theirs if name.startswith("weight")]
    assert all(torch.equal(ours[name], theirs[name]) for name in weights)


def test_dropout_is_between_layers_in_training_alone() -> None:
    torch.manual_seed(0)
    layer = LayerNormLSTM(3, 5, 2, dropout=0.5)
    x = torch.randn(6, 4, 3)
    assert not torch.equal(layer(x)[0], layer(x)[0])
    assert torch.equal(layer.eval()(x)[0], layer(x)[0])
    single = LayerNormLSTM(3, 5, dropout=0.5)
    assert torch.equal(single(x)[0], single(x)[0])


def test_gamma_begins_at_a_tenth_and_there_is_no_bias_that_bn_cancels() -> None:
    layer = BatchNormLSTM(3, 5)
    names = [name for name, _ in layer.named_parameters()]
    assert names == [
        "weight_ih_l0",
        "weight_hh_l0",
        "bias_l0",
        "norm_ih_l0.weight",
        "norm_hh_l0.weight",
        "norm_c_l0.weight",
        "norm_c_l0.bias",
    ]
    norms = [module for module in layer.modules() if isinstance(module, StepBatchNorm)]
    assert all(torch.equal(norm.weight, torch.full_like(norm.weight, 0.1)) for norm in norms)
    assert "bias_l0" not in dict(BatchNormLSTM(3, 5, bias=False).named_parameters())


@pytest.mark.parametrize("kind", OURS)
def test_nothing_is_done_where_torch_flattens_for_cudnn(kind: type[Any]) -> None:
    layer = kind(3, 5)
    before = [parameter.clone() for parameter in layer.parameters()]
    layer.flatten_parameters()
    assert all(map(torch.equal, before, layer.parameters()))


def test_a_network_with_torchs_layer_takes_ours_in_its_place() -> None:
    make: list[Callable[[], Any]] = [
        lambda: nn.LSTM(3, 5, 2, True, True, 0.1, True),
        lambda: BatchNormLSTM(3, 5, 2, True, True, 0.1, True),
    ]
    shapes = [[tensor.shape for tensor in _tensors(layer()(torch.randn(4, 6, 3)))] for layer in make]
    assert shapes[0] == shapes[1]

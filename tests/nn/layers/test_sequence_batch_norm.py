"""BN over batch and time: padding can't take part, whatever the layout."""

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

import normwise
from normwise.errors import ArgumentError, MaskError, ShapeError
from normwise.functional import sequence_mask
from normwise.nn import SequenceBatchNorm

LENGTHS = torch.tensor([4, 7, 1, 5])


@pytest.fixture
def frames() -> Tensor:
    """(N, L, C) = (4, 7, 3), float64."""
    return torch.randn(4, 7, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) * 2 + 1


def _layer(**arguments: Any) -> SequenceBatchNorm:
    layer = SequenceBatchNorm(3, batch_first=True, dtype=torch.float64, **arguments)
    assert layer.norm.weight is not None
    with torch.no_grad():
        layer.norm.weight.copy_(torch.tensor([1.0, 0.5, 2.0]))
    return layer


def _statistics(layer: SequenceBatchNorm) -> Tensor:
    mean, var = layer.norm.running_mean, layer.norm.running_var
    assert mean is not None
    assert var is not None
    return torch.stack([mean, var])


@pytest.mark.parametrize("training", [True, False])
def test_it_is_the_oracle_over_the_real_positions(frames: Tensor, training: bool) -> None:
    layer = _layer().train(training)
    real = sequence_mask(LENGTHS)
    output = layer(frames, LENGTHS)
    expected = normwise.reference.batch_norm(
        frames[real].numpy(), [0, 0, 0], [1, 1, 1], [1, 0.5, 2], training=training
    )
    assert torch.allclose(output[real], torch.from_numpy(expected.output), rtol=0, atol=1e-12)
    assert not output[~real].any()
    assert expected.running_mean is not None
    assert torch.allclose(_statistics(layer)[0], torch.from_numpy(expected.running_mean), rtol=0, atol=1e-12)


@pytest.mark.parametrize("padding", [0.0, 1e6, float("nan")])
@pytest.mark.parametrize("training", [True, False])
def test_more_padding_changes_no_output_no_statistic_and_no_gradient(
    frames: Tensor, training: bool, padding: float
) -> None:
    results: list[list[Tensor]] = []
    for more in (0, 6):
        layer = _layer().train(training)
        x = torch.cat([frames, torch.full((4, more, 3), padding, dtype=frames.dtype)], dim=1).requires_grad_()
        output = layer(x, LENGTHS)
        output.square().sum().backward()
        gradients = [parameter.grad for parameter in (x, *layer.parameters())]
        assert all(gradient is not None for gradient in gradients)
        first, *others = (gradient for gradient in gradients if gradient is not None)
        assert not output[:, 7:].any()
        assert not first[:, 7:].any()
        results.append([output[:, :7], first[:, :7], *others, _statistics(layer)])
    for without, with_more in zip(*results, strict=True):
        assert torch.allclose(without, with_more, rtol=0, atol=1e-12)


@pytest.mark.parametrize("enforce_sorted", [True, False])
def test_a_packed_sequence_is_the_padded_one_with_its_lengths(frames: Tensor, enforce_sorted: bool) -> None:
    lengths = LENGTHS.sort(descending=True).values if enforce_sorted else LENGTHS
    padded, packing = _layer(), _layer()
    packed = pack_padded_sequence(frames, lengths, batch_first=True, enforce_sorted=enforce_sorted)
    output, _ = pad_packed_sequence(packing(packed), batch_first=True)
    assert torch.allclose(output, padded(frames, lengths), rtol=0, atol=1e-12)
    assert torch.allclose(_statistics(packing), _statistics(padded), rtol=0, atol=1e-12)


def test_time_may_come_first(frames: Tensor) -> None:
    time_first = SequenceBatchNorm(3, dtype=torch.float64)
    batch_first = SequenceBatchNorm(3, dtype=torch.float64, batch_first=True)
    output = time_first(frames.transpose(0, 1), LENGTHS).transpose(0, 1)
    assert torch.allclose(output, batch_first(frames, LENGTHS), rtol=0, atol=1e-12)


def test_a_mask_says_what_lengths_say(frames: Tensor) -> None:
    by_mask = _layer()(frames, mask=sequence_mask(LENGTHS))
    assert torch.equal(by_mask, _layer()(frames, LENGTHS))


def test_without_lengths_all_positions_are_real(frames: Tensor) -> None:
    plain = nn.BatchNorm1d(3, dtype=torch.float64)
    layer = SequenceBatchNorm(3, batch_first=True, dtype=torch.float64)
    expected = plain(frames.transpose(1, 2)).transpose(1, 2)
    assert torch.allclose(layer(frames), expected, rtol=0, atol=1e-12)
    assert torch.allclose(layer.eval()(frames[0]), plain.eval()(frames[0]), rtol=0, atol=1e-12)


@pytest.mark.parametrize("training", [True, False])
def test_gradcheck(frames: Tensor, training: bool) -> None:
    layer = _layer(track_running_stats=not training).train(training)
    assert torch.autograd.gradcheck(lambda x: layer(x, LENGTHS), frames.requires_grad_())


def test_it_is_calibrated_without_padding(frames: Tensor) -> None:
    layer = _layer()
    normwise.calibrate(layer, [{"input": frames, "lengths": LENGTHS}])
    real = frames[sequence_mask(LENGTHS)]
    assert torch.allclose(_statistics(layer), torch.stack([real.mean(0), real.var(0)]), rtol=0, atol=1e-12)


def test_it_is_copied_and_its_state_is_that_of_the_layer_within(frames: Tensor) -> None:
    layer = _layer()
    layer(frames, LENGTHS)
    twin = copy.deepcopy(layer).eval()
    other = SequenceBatchNorm(3, batch_first=True, dtype=torch.float64).eval()
    other.load_state_dict(twin.state_dict())
    assert list(twin.state_dict()) == [f"norm.{name}" for name in layer.norm.state_dict()]
    assert torch.equal(other(frames, LENGTHS), twin(frames, LENGTHS))


@pytest.mark.parametrize(
    ("shape", "arguments", "kind", "message"),
    [
        (
            (4, 7, 5),
            {},
            ShapeError,
            r"expected an input of shape \(N, L, C\) or \(L, C\) with C = 3, got \(4, 7, 5\)",
        ),
        ((4, 7, 2, 3), {}, ShapeError, r"got \(4, 7, 2, 3\)"),
        ((7, 3), {"lengths": LENGTHS}, ArgumentError, "lengths are for a batch"),
        ((4, 7, 3), {"lengths": LENGTHS[:2]}, ShapeError, r"expected lengths of shape \(4,\)"),
        ((4, 7, 3), {"lengths": LENGTHS + 1}, ArgumentError, "a sequence has the length 8; with 7 positions"),
        (
            (4, 7, 3),
            {"mask": torch.ones(7, 4, dtype=torch.bool)},
            MaskError,
            r"expected a mask of shape \(4, 7\)",
        ),
        ((4, 7, 3), {"mask": sequence_mask(LENGTHS), "lengths": LENGTHS}, ArgumentError, "pass one of them"),
    ],
)
def test_a_wrong_call_is_one_error(
    shape: tuple[int, ...], arguments: dict[str, Any], kind: type[Exception], message: str
) -> None:
    with pytest.raises(kind, match=f"^SequenceBatchNorm: .*{message}"):
        _layer()(torch.zeros(shape, dtype=torch.float64), **arguments)


def test_a_packed_sequence_needs_no_lengths_and_must_have_the_channels(frames: Tensor) -> None:
    packed: Any = pack_padded_sequence(frames, LENGTHS, batch_first=True, enforce_sorted=False)
    with pytest.raises(ArgumentError, match="a PackedSequence knows its lengths"):
        _layer()(packed, LENGTHS)
    with pytest.raises(ShapeError, match=r"of data \(total, 4\), got \(17, 3\)"):
        SequenceBatchNorm(4, dtype=torch.float64)(packed)


def test_the_error_names_the_layer() -> None:
    with pytest.raises(ShapeError, match=r"^SequenceBatchNorm '1': expected an input of shape"):
        nn.Sequential(nn.Identity(), SequenceBatchNorm(3))(torch.zeros(2, 2, 4))

"""Ghost layers: virtual batches that are normalised by themselves, and statistics of the whole batch."""

from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from normwise import nn, reference
from normwise.errors import ArgumentError
from normwise.kernels.virtual_batches import part_sizes
from tests.support.grids import grid
from tests.support.kernels.implementations import PAIRS, each_type
from tests.support.oracles import family_oracles

LAST, LAST_3D = torch.channels_last, torch.channels_last_3d
#: Layer, shape, samples of a virtual batch, and memory format; with parts of equal and unequal sizes.
CASES: dict[str, tuple[Any, tuple[int, ...], int, torch.memory_format]] = {
    "1d-4-4-3": (nn.GhostBatchNorm1d, (11, 3), 4, torch.contiguous_format),
    "1d-3-2-2": (nn.GhostBatchNorm1d, (7, 3), 1, torch.contiguous_format),
    "1d-sequences": (nn.GhostBatchNorm1d, (5, 3, 4), 2, torch.contiguous_format),
    "2d-3-3": (nn.GhostBatchNorm2d, (6, 3, 2, 3), 4, torch.contiguous_format),
    "2d-channels_last": (nn.GhostBatchNorm2d, (7, 3, 2, 3), 2, LAST),
    "3d-one sample": (nn.GhostBatchNorm3d, (3, 3, 2, 2, 2), 1, LAST_3D),
}


def array(tensor: Tensor) -> Any:
    return tensor.detach().double().numpy()


def filled(layer: Any) -> Any:
    """A layer of which nothing is as it began."""
    generator = torch.Generator().manual_seed(0)
    for tensor in [*layer.parameters(), layer.running_mean, layer.running_var]:
        torch.nn.init.uniform_(tensor, 0.5, 2.0, generator=generator)
    return layer


def step(layer: Any, x: Tensor, grad: Tensor, **options: Any) -> tuple[Tensor, ...]:
    """Output, and the gradients of input, γ, β and, where there is one, of the residual."""
    residual = options.get("residual")
    leaves = [
        x.requires_grad_(),
        layer.weight,
        layer.bias,
        *([] if residual is None else [residual.requires_grad_()]),
    ]
    output = layer(x, **options)
    return output, *torch.autograd.grad(output, leaves, grad)


def assert_is(layer: Any, found: tuple[Tensor, ...], expected: family_oracles.Step, unit: float) -> None:
    wanted = (expected.output, expected.x, expected.weight, expected.bias, expected.residual)
    for actual, exact in [
        *zip(found, wanted[: len(found)], strict=True),
        (layer.running_mean, expected.running_mean),
        (layer.running_var, expected.running_var),
    ]:
        assert exact is not None
        np.testing.assert_allclose(
            array(actual), exact, rtol=0, atol=16 * unit * max(1.0, np.abs(exact).max())
        )


@grid(
    {
        "case": CASES,
        ("implementation", "types"): PAIRS,
        "masked": {"full": None, "masked": "some", "masked-empty part": "empty"},
        "ending": {"plain": (None, False), "activated": ("gelu", False), "added": ("silu", True)},
    },
    strength=2,
)
@pytest.mark.usefixtures("implementation")
def test_layer_is_the_oracle(case: Any, types: Any, masked: str | None, ending: tuple[Any, bool]) -> None:
    kind, shape, most, memory_format = case
    activation, added = ending
    layer = filled(
        kind(3, momentum=0.3, dtype=types.parameters, activation=activation, virtual_batch_size=most)
    )
    generator = torch.Generator().manual_seed(1)
    x, grad, residual = (
        torch.randn(shape, generator=generator).to(types.x).contiguous(memory_format=memory_format)
        for _ in range(3)
    )
    mask = None if masked is None else torch.rand(shape[0], *shape[2:], generator=generator) < 0.7
    if mask is not None and masked == "empty":
        mask[family_oracles.parts_of(shape, most)[0]] = False
    expected = family_oracles.ghost(
        array(x),
        array(grad),
        most,
        array(layer.weight),
        array(layer.bias),
        (array(layer.running_mean), array(layer.running_var)),
        0.3,
        activation=activation,
        residual=array(residual) if added else None,
        mask=None if mask is None else mask.numpy(),
    )
    found = step(layer, x, grad, residual=residual if added else None, mask=mask)
    assert found[0].dtype == types.x
    assert found[0].is_contiguous(memory_format=memory_format)
    assert_is(layer, found, expected, torch.finfo(types.x).eps)
    assert layer.num_batches_tracked.item() == int(mask is None or mask.sum().item() > 1)


@each_type(torch.float32, torch.float64)
@pytest.mark.parametrize("masked", [False, True], ids=["full", "masked"])
@pytest.mark.usefixtures("implementation")
def test_means_far_larger_than_the_deviations_cost_no_precision(dtype: torch.dtype, masked: bool) -> None:
    layer = filled(nn.GhostBatchNorm1d(3, virtual_batch_size=4, momentum=1.0, dtype=dtype))
    generator = torch.Generator().manual_seed(2)
    x = (1e4 + torch.randn(10, 3, 6, generator=generator)).to(dtype)
    grad = torch.randn(10, 3, 6, generator=generator).to(dtype)
    mask = torch.rand(10, 6, generator=generator) < 0.7 if masked else None
    expected = family_oracles.ghost(
        array(x),
        array(grad),
        4,
        array(layer.weight),
        array(layer.bias),
        (np.zeros(3), np.ones(3)),
        1.0,
        mask=None if mask is None else mask.numpy(),
    )
    # The oracle's own mean is rounded in float64.
    assert_is(layer, step(layer, x, grad, mask=mask), expected, max(torch.finfo(dtype).eps, 1e4 * 2**-52))


@pytest.mark.parametrize("activation", reference.ACTIVATIONS)
def test_activation_is_applied_to_what_is_normalised(activation: str) -> None:
    layer = filled(nn.GhostBatchNorm2d(3, virtual_batch_size=2, activation=activation, dtype=torch.float64))
    x, grad, residual = torch.randn(3, 5, 3, 2, 2, dtype=torch.float64).unbind()
    expected = family_oracles.ghost(
        array(x),
        array(grad),
        2,
        array(layer.weight),
        array(layer.bias),
        (array(layer.running_mean), array(layer.running_var)),
        0.1,
        activation=activation,
        residual=array(residual),
    )
    assert_is(layer, step(layer, x, grad, residual=residual), expected, 1e-14)


@pytest.mark.parametrize("shape", [(n, 3, *more) for n in (1, 2, 3, 5, 8, 33) for more in ((), (2,))])
@pytest.mark.parametrize("most", [1, 2, 3, 4, 32, 100])
def test_parts_are_those_of_tensor_split_and_none_has_one_value(shape: tuple[int, ...], most: int) -> None:
    sizes = part_sizes(shape, most)
    assert sizes == tuple(map(len, torch.arange(shape[0]).tensor_split(len(sizes))))
    one_value = len(shape) == 2
    assert max(sizes) <= max(most, 3 if one_value else 1) or len(sizes) == 1
    assert min(sizes) >= 2 or not one_value or shape[0] == 1
    # No fewer parts than it takes.
    assert len(sizes) == min(-(-shape[0] // most), max(shape[0] // 2, 1) if one_value else shape[0])


@pytest.mark.parametrize("momentum", [0.1, None])
@pytest.mark.parametrize("masked", [False, True], ids=["full", "masked"])
def test_running_statistics_are_plain_batch_normalizations(momentum: float | None, masked: bool) -> None:
    ghost = nn.GhostBatchNorm1d(3, momentum=momentum, virtual_batch_size=3, dtype=torch.float64)
    plain = nn.BatchNorm1d(3, momentum=momentum, dtype=torch.float64)
    generator = torch.Generator().manual_seed(3)
    for size in (8, 5, 3, 9):
        x = 100 + torch.randn(size, 3, 4, generator=generator, dtype=torch.float64)
        mask = torch.rand(size, 4, generator=generator) < 0.6 if masked else None
        ghost(x, mask=mask)
        plain(x, mask=mask)
    torch.testing.assert_close(dict(ghost.named_buffers()), dict(plain.named_buffers()), rtol=1e-12, atol=0)


def test_parts_of_one_real_position_move_the_statistics_as_the_whole_batch_does() -> None:
    # Each part by itself has no variance; the batch has one.
    layer = nn.GhostBatchNorm1d(1, virtual_batch_size=2, momentum=1.0, dtype=torch.float64)
    x = torch.tensor([[1.0], [9.0], [3.0], [9.0]], dtype=torch.float64)
    y = layer(x, mask=torch.tensor([True, False, True, False]))
    assert not y.any()
    assert layer.running_mean is not None
    assert layer.running_var is not None
    assert (layer.running_mean.item(), layer.running_var.item()) == (2.0, 2.0)


def test_an_empty_batch_moves_nothing_and_has_a_gradient() -> None:
    layer = nn.GhostBatchNorm2d(3, virtual_batch_size=2)
    x = torch.empty(0, 3, 4, 4, requires_grad=True)
    y = layer(x)
    y.sum().backward()
    assert y.shape == x.shape
    assert x.grad is not None
    torch.testing.assert_close(layer.state_dict(), nn.GhostBatchNorm2d(3).state_dict(), rtol=0, atol=0)


def test_a_batch_that_is_masked_altogether_moves_nothing() -> None:
    layer = nn.GhostBatchNorm1d(3, virtual_batch_size=2)
    y = layer(torch.full((6, 3), torch.nan), mask=torch.zeros(6, dtype=torch.bool))
    assert not y.any()
    torch.testing.assert_close(layer.state_dict(), nn.GhostBatchNorm1d(3).state_dict(), rtol=0, atol=0)


def test_evaluation_does_not_depend_on_the_batch() -> None:
    layer, x = filled(nn.GhostBatchNorm2d(3, virtual_batch_size=2)).eval(), torch.randn(7, 3, 4, 4)
    assert torch.equal(layer(x), torch.cat([layer(each) for each in x.split(1)]))
    plain = nn.BatchNorm2d(3).eval()
    plain.load_state_dict(layer.state_dict())
    assert torch.equal(layer(x), plain(x))


def test_without_tracking_evaluation_normalises_the_batch_as_a_whole() -> None:
    layer = nn.GhostBatchNorm1d(3, track_running_stats=False, virtual_batch_size=2).eval()
    x = torch.randn(6, 3)
    torch.testing.assert_close(layer(x), nn.BatchNorm1d(3, track_running_stats=False).eval()(x))


@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize("masked", [False, True], ids=["full", "masked"])
def test_gradients_to_the_second_order(affine: bool, masked: bool) -> None:
    layer = nn.GhostBatchNorm1d(
        2, affine=affine, virtual_batch_size=3, activation="tanh", dtype=torch.float64
    )
    generator = torch.Generator().manual_seed(4)
    x, residual = torch.randn(2, 5, 2, 2, generator=generator, dtype=torch.float64).unbind()
    mask = torch.rand(5, 2, generator=generator) < 0.7 if masked else None
    given = (x.requires_grad_(), residual.requires_grad_())

    def function(x: Tensor, residual: Tensor) -> Tensor:
        return layer(x, residual=residual, mask=mask)

    assert torch.autograd.gradcheck(function, given)
    assert torch.autograd.gradgradcheck(function, given)


def test_inplace_is_no_error_and_changes_nothing_but_the_input() -> None:
    x = torch.randn(6, 3)
    plain, inplace = (
        partial(nn.GhostBatchNorm1d, 3, virtual_batch_size=2)(inplace=flag) for flag in (False, True)
    )
    torch.testing.assert_close(inplace(x.clone()), plain(x))


@pytest.mark.parametrize("size", [0, -1, 2.0, True, "8", None])
def test_a_virtual_batch_size_that_cannot_be_is_refused(size: Any) -> None:
    with pytest.raises(
        ArgumentError, match="virtual_batch_size must be a whole number of samples, 1 or more"
    ):
        nn.GhostBatchNorm1d(3, virtual_batch_size=size)


def test_one_value_per_channel_is_the_error_of_batch_normalization() -> None:
    with pytest.raises(ValueError, match=r"^GhostBatchNorm1d: expected more than 1 value per channel"):
        nn.GhostBatchNorm1d(3, virtual_batch_size=1)(torch.randn(1, 3))


@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("masked", [False, True])
def test_what_one_part_holds_does_not_come_into_another(channels_last: bool, masked: bool) -> None:
    x = torch.randn(8, 3, 5)
    layer = nn.GhostBatchNorm1d(3, virtual_batch_size=2)
    mask = torch.ones(8, 5, dtype=torch.bool) if masked else None
    expected = layer(x, mask=mask)[2:]
    x[0, :, 0] = torch.nan
    # No memory format that the kernels know.
    given = x.transpose(1, 2).contiguous().transpose(1, 2) if channels_last else x
    torch.testing.assert_close(layer(given, mask=mask)[2:], expected)

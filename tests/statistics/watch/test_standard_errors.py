"""Moments of a batch and their noise, against float64 sums written out by hand."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from normwise.statistics.watch import standard_errors as module
from normwise.statistics.watch.standard_errors import MomentsWithErrors, moments_with_errors


def _by_hand(x: Tensor, mask: Tensor | None) -> dict[str, list[float]]:
    """Channel by channel and sample by sample."""
    found: dict[str, list[float]] = {"mean": [], "var": [], "mean_error": [], "var_error": []}
    for channel in range(x.shape[1]):
        samples = []
        for i in range(x.shape[0]):
            values = x[i, channel].double().numpy().reshape(-1)
            real = np.ones(values.size, bool) if mask is None else mask[i].numpy().reshape(-1)
            if real.any():
                samples.append(values[real])
        everything = np.concatenate(samples)
        n, count = everything.size, len(samples)
        mean, var = everything.mean(), everything.var()
        factor = count / (count - 1)
        found["mean"].append(mean)
        found["var"].append(var)
        found["mean_error"].append(math.sqrt(factor * sum((s - mean).sum() ** 2 for s in samples)) / n)
        found["var_error"].append(
            math.sqrt(factor * sum(((s - mean) ** 2 - var).sum() ** 2 for s in samples)) / n
        )
    return found


def _check(seen: MomentsWithErrors | None, x: Tensor, mask: Tensor | None) -> None:
    assert seen is not None
    for name, wanted in _by_hand(x, mask).items():
        got = getattr(seen, name)
        assert got.dtype == torch.float64
        np.testing.assert_allclose(got.numpy(), wanted, rtol=1e-9, atol=1e-12, err_msg=name)


SHAPES = [(6, 3), (5, 2, 7), (4, 3, 2, 5), (3, 2, 2, 3, 2)]


@pytest.mark.parametrize("masked", [False, True], ids=["all", "masked"])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_each_shape_and_type(shape: tuple[int, ...], dtype: torch.dtype, masked: bool) -> None:
    torch.manual_seed(0)
    x = (3 + 2 * torch.randn(shape)).to(dtype)
    mask = torch.rand(shape[0], *shape[2:]) < 0.7 if masked else None
    seen = moments_with_errors(x, mask)
    _check(seen, x, mask)
    assert seen is not None
    assert seen.values == (x[:, 0].numel() if mask is None else int(mask.sum()))


@given(
    st.integers(2, 6),
    st.integers(1, 3),
    st.integers(1, 4),
    st.floats(-1e4, 1e4),
    st.floats(0.1, 1),
    st.integers(0, 99),
)
@settings(max_examples=40, deadline=None)
def test_any_size_mean_and_mask(
    samples: int, channels: int, positions: int, mean: float, real: float, seed: int
) -> None:
    generator = torch.Generator().manual_seed(seed)
    x = mean + torch.randn(samples, channels, positions, generator=generator, dtype=torch.float64)
    mask = torch.rand(samples, positions, generator=generator) < real
    mask[:2, 0] = True
    _check(moments_with_errors(x, mask), x, mask)


def test_the_error_of_the_mean_is_that_of_the_samples_means_where_all_are_of_one_size() -> None:
    torch.manual_seed(0)
    x = torch.randn(8, 3, 4, 5, dtype=torch.float64)
    seen = moments_with_errors(x)
    assert seen is not None
    torch.testing.assert_close(seen.mean_error, x.mean((2, 3)).std(0) / math.sqrt(8))


def test_channels_in_any_number_of_blocks_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    x, mask = torch.randn(5, 7, 3), torch.rand(5, 3) < 0.6
    whole = moments_with_errors(x, mask)
    monkeypatch.setattr(module, "_BLOCK", 2 * 5 * 3)
    blocks = moments_with_errors(x, mask)
    assert whole is not None
    assert blocks is not None
    for name in ("mean", "var", "mean_error", "var_error"):
        torch.testing.assert_close(getattr(blocks, name), getattr(whole, name), rtol=1e-12, atol=1e-15)


def test_memory_order_does_not_matter() -> None:
    x = torch.randn(4, 3, 5, 6)
    _check(moments_with_errors(x.to(memory_format=torch.channels_last)), x, None)


def test_batches_scatter_as_one_of_them_says() -> None:
    # Samples that have something of their own, so that positions are no independent values.
    torch.manual_seed(0)
    seen = []
    for _ in range(400):
        one = moments_with_errors(torch.randn(128, 2, 1) + 0.5 * torch.randn(128, 2, 9))
        assert one is not None
        seen.append((one.mean, one.var, one.mean_error, one.var_error))
    mean, var, mean_error, var_error = (torch.stack(column) for column in zip(*seen, strict=True))
    torch.testing.assert_close(mean_error.mean(0), mean.std(0), rtol=0.1, atol=0)
    torch.testing.assert_close(var_error.mean(0), var.std(0), rtol=0.1, atol=0)


def test_what_is_not_real_may_be_anything() -> None:
    x, mask = torch.randn(4, 2, 3), torch.ones(4, 3, dtype=torch.bool)
    mask[1, 2] = mask[3] = False
    seen = moments_with_errors(x.masked_fill(~mask[:, None], math.nan), mask)
    _check(seen, x, mask)
    assert seen is not None
    assert (seen.samples, seen.values) == (3, 8)


def test_a_mask_of_samples() -> None:
    x, mask = torch.randn(5, 3), torch.tensor([True, False, True, True, False])
    _check(moments_with_errors(x, mask), x[mask], None)


def test_a_single_sample_tells_nothing_of_others() -> None:
    seen = moments_with_errors(torch.randn(1, 2, 9))
    assert seen is not None
    assert seen.mean_error.isnan().all()
    assert seen.var_error.isnan().all()
    assert seen.var.isfinite().all()


@pytest.mark.parametrize(
    ("x", "mask"),
    [
        (torch.empty(0, 3), None),
        (torch.empty(2, 3, 0), None),
        (torch.empty(2, 0, 4), None),
        (torch.ones(2, 3), torch.tensor([False, False])),
    ],
    ids=["no samples", "no positions", "no channels", "nothing real"],
)
def test_nothing_gives_nothing(x: Tensor, mask: Tensor | None) -> None:
    assert moments_with_errors(x, mask) is None

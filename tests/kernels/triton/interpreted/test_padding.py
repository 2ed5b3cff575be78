"""What lies in padding reaches nothing, not even where programs have nothing but padding."""

import pytest
import torch
from torch import Tensor

from normwise.kernels import Call
from normwise.kernels.triton.backend import TritonBackend


def _forward(x: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    call = Call(x, training=True, mask=mask, momentum=None)
    backend = TritonBackend("cpu")
    assert backend.covers(call)
    return backend.forward(call)


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last], ids=str)
def test_parts_of_padding_alone_may_hold_nan(memory_format):
    x = torch.randn(64, 4, 8, 16, generator=torch.Generator().manual_seed(0))
    mask = torch.zeros(64, 8, 16, dtype=torch.bool)
    mask[20:24] = True
    padded = x.masked_fill(~mask.unsqueeze(1), float("nan")).contiguous(memory_format=memory_format)
    y, saved = _forward(padded, mask)
    real = x[20:24].double().transpose(0, 1).flatten(1)
    torch.testing.assert_close(saved[0], real.mean(1), rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(saved[1], (real.var(1, correction=0) + 1e-5).rsqrt(), rtol=1e-6, atol=0)
    assert not y.isnan().any()

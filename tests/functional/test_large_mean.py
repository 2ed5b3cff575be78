"""A mean of very many deviations costs nothing, whatever the size and the order in memory."""

import pytest
import torch

from normwise import nn

CASES = {
    "few elements": ((8, 16), torch.contiguous_format),
    "(N, C)": ((600, 24), torch.contiguous_format),
    "small images": ((16, 4, 4, 4), torch.contiguous_format),
    "images": ((16, 4, 40, 40), torch.contiguous_format),
    "channels last": ((16, 4, 40, 40), torch.channels_last),
    "many channels, last": ((16, 64, 14, 14), torch.channels_last),
    "volumes, channels last": ((3, 8, 4, 6, 5), torch.channels_last_3d),
    "sequences": ((4, 5, 70), torch.contiguous_format),
}


@pytest.mark.parametrize("mean", [1e3, 1e4, 1e5, -1e6])
@pytest.mark.parametrize("strided", [False, True], ids=["dense", "strided"])
@pytest.mark.parametrize("case", CASES)
def test_outputs_gradients_and_statistics_are_float64s(implementation, case, strided, mean):
    shape, memory_format = CASES[case]
    generator = torch.Generator().manual_seed(0)
    x, grad = torch.randn(2, *shape, generator=generator)
    x = (x + mean).contiguous(memory_format=memory_format)
    if strided:
        x = torch.stack([x, x], -1)[..., 0]
    kind = {2: "BatchNorm1d", 3: "BatchNorm1d", 4: "BatchNorm2d", 5: "BatchNorm3d"}[len(shape)]
    layer = getattr(nn, kind)(shape[1], momentum=1.0)
    exact = getattr(torch.nn, kind)(shape[1], momentum=1.0, dtype=torch.float64)
    leaves = [t.detach().requires_grad_() for t in (x, x.double())]
    outputs = layer(leaves[0]), exact(leaves[1])
    gradients = [
        torch.autograd.grad(y, [leaf, *of.parameters()], grad.to(y.dtype))
        for y, leaf, of in zip(outputs, leaves, (layer, exact), strict=True)
    ]
    # torch's operator sums channels that stand last in float32, and is no better with a mean of 0.
    bound = 5e-6 if implementation == "kernels" and not strided else 3e-5
    torch.testing.assert_close(outputs[0].double(), outputs[1], rtol=0, atol=bound)
    for got, expected in zip(*gradients, strict=True):
        largest = float(expected.abs().max())
        torch.testing.assert_close(got.double(), expected, rtol=0, atol=4 * bound * max(1.0, largest))
    torch.testing.assert_close(layer.running_var.double(), exact.running_var, rtol=1e-5, atol=0)
    torch.testing.assert_close(layer.running_mean.double(), exact.running_mean, rtol=2e-7, atol=0)

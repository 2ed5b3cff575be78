"""Random small networks, as hypothesis draws them: what surgery promises holds for each of them."""

from collections.abc import Sequence
from typing import Any

import torch
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F

import normwise

#: All kinds of BN that a network may have.
KINDS = ("torch", "ours", "activated", "frozen", "plain")

_CONV: dict[int, Any] = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
_TRANSPOSED: dict[int, Any] = {1: nn.ConvTranspose1d, 2: nn.ConvTranspose2d, 3: nn.ConvTranspose3d}
_TORCH: dict[int, Any] = {0: nn.BatchNorm1d, 1: nn.BatchNorm1d, 2: nn.BatchNorm2d, 3: nn.BatchNorm3d}
_OURS: dict[int, Any] = {
    0: normwise.nn.BatchNorm1d,
    1: normwise.nn.BatchNorm1d,
    2: normwise.nn.BatchNorm2d,
    3: normwise.nn.BatchNorm3d,
}


class Residual(nn.Module):
    """``relu(branch(x) + x)``."""

    def __init__(self, branch: nn.Module) -> None:
        super().__init__()
        self.branch = branch

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.branch(x) + x)


class Block(nn.Module):
    """The residual block of He et al., its forward written out."""

    def __init__(self, conv1: nn.Module, bn1: nn.Module, conv2: nn.Module, bn2: nn.Module) -> None:
        super().__init__()
        self.conv1, self.bn1, self.conv2, self.bn2 = conv1, bn1, conv2, bn2

    def forward(self, x: Tensor) -> Tensor:
        y = torch.relu(self.bn1(self.conv1(x)))
        return F.relu(self.bn2(self.conv2(y)) + x, inplace=True)


class Twice(nn.Module):
    """One module, called twice."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(torch.tanh(self.inner(x)))


class Forked(nn.Module):
    """A model in which the output of ``first`` goes into ``second``, and beside it, too."""

    def __init__(self, first: nn.Module, second: nn.Module) -> None:
        super().__init__()
        self.first, self.second = first, second

    def forward(self, x: Tensor) -> Tensor:
        y = self.first(x)
        return self.second(y) - y


class Sequence1d(nn.Module):
    """A linear layer and a norm over ``(N, L, C)``, whose channels are last: only ``turned`` are they the norm's."""

    def __init__(self, linear: nn.Module, norm: nn.Module, turned: bool) -> None:
        super().__init__()
        self.linear, self.norm, self.turned = linear, norm, turned

    def forward(self, x: Tensor) -> Tensor:
        x = self.linear(x.transpose(1, 2))
        return self.norm(x.transpose(1, 2)) if self.turned else self.norm(x).transpose(1, 2)


class Pool(nn.Module):
    """The mean over all positions: ``(N, C, *)`` to ``(N, C)``."""

    def forward(self, x: Tensor) -> Tensor:
        return x.flatten(2).mean(2)


class _Drawer:
    """One network, drawn piece by piece; ``dims`` is 0 for ``(N, C)``."""

    def __init__(self, data: Any, dims: int, kinds: Sequence[str]) -> None:
        self.data, self.dims, self.kinds = data, dims, kinds
        self.channels = self.any(2, 4, 6)
        self.size = 5

    def any(self, *choices: Any) -> Any:
        return self.data.draw(st.sampled_from(choices))

    def norm(self, channels: int | None = None) -> list[nn.Module]:
        """A BN layer of some kind; none where there is to be none."""
        if not self.kinds:
            return []
        kind = self.any(*self.kinds)
        channels = self.channels if channels is None else channels
        options = {"eps": self.any(1e-5, 1e-3)}
        if kind == "plain":
            return [_TORCH[self.dims](channels, affine=False, **options)]
        if kind == "activated":
            return [_OURS[self.dims](channels, activation=self.any("relu", "tanh", "silu"), **options)]
        layer = (_OURS if kind == "ours" else _TORCH)[self.dims](channels, **options)
        if kind == "frozen":
            normwise.freeze(layer)
        return [layer]

    def activation(self) -> list[nn.Module]:
        kind = self.any(None, nn.ReLU, nn.Tanh)
        return [] if kind is None else [kind()]

    def conv(self, *, keeps: bool = False) -> nn.Module:
        """A linear layer or a convolution of some kind; with ``keeps`` the sizes stay."""
        bias = self.any(True, False)
        before, after = self.channels, self.channels if keeps else self.any(2, 4, 6)
        self.channels = after
        if self.dims == 0:
            return nn.Linear(before, after, bias=bias)
        groups = self.any(1, 2, before if before == after else 1)
        if self.any(False, False, True):
            padding = 1 if keeps else self.any(0, 1)
            self.size += 2 - 2 * padding
            return _TRANSPOSED[self.dims](before, after, 3, padding=padding, groups=groups, bias=bias)
        if keeps or self.size < 5:
            mode = self.any("zeros", "reflect")
            kernel, padding = self.any((1, 0), (3, 1))
            stride = 1
        else:
            kernel, padding, mode = 3, self.any(0, 1), self.any("zeros", "circular")
            stride = self.any(1, 2)
        self.size = (self.size + 2 * padding - kernel) // stride + 1
        return _CONV[self.dims](
            before, after, kernel, stride, padding, groups=groups, bias=bias, padding_mode=mode
        )

    def plain(self) -> nn.Module:
        """A convolution, BN behind it, in a chain, before it or not at all."""
        before = self.norm() if self.any(False, False, True) else []
        conv = self.conv()
        behind = [layer for _ in range(self.any(0, 1, 1, 1, 2)) for layer in self.norm()]
        return nn.Sequential(*before, conv, *behind, *self.activation())

    def residual(self) -> nn.Module:
        return Residual(nn.Sequential(*self.norm(), *self.activation(), self.conv(keeps=True), *self.norm()))

    def block(self) -> nn.Module:
        layers = (self.conv(keeps=True), self.norm(), self.conv(keeps=True), self.norm())
        one, two = (layer[0] if layer else nn.Identity() for layer in (layers[1], layers[3]))
        return Block(layers[0], one, layers[2], two)

    def twice(self) -> nn.Module:
        return Twice(nn.Sequential(self.conv(keeps=True), *self.norm()))

    def shared(self) -> nn.Module:
        """A sequence in which one convolution, and perhaps one norm, stands in two places."""
        conv, norm = self.conv(keeps=True), self.norm()
        other = norm if self.any(True, False) else self.norm()
        return nn.Sequential(conv, *norm, nn.Tanh(), conv, *other)

    def forked(self) -> nn.Module:
        return Forked(self.conv(), nn.Sequential(*self.norm(), *self.activation()))

    def sequence(self) -> nn.Module:
        turned = self.any(True, False)
        linear = nn.Linear(self.channels, self.channels, bias=self.any(True, False))
        norm = self.norm(self.channels if turned else self.size)
        return Sequence1d(linear, norm[0] if norm else nn.Identity(), turned)

    def head(self) -> list[nn.Module]:
        pool = [] if self.dims == 0 else [Pool()]
        self.dims = 0
        return [*pool, self.conv(), *self.norm(), *self.activation(), nn.Linear(self.channels, 3)]

    def network(self) -> nn.Module:
        kinds = [self.plain, self.plain, self.residual, self.block, self.twice, self.shared, self.forked]
        if self.dims == 1:
            kinds.append(self.sequence)
        pieces = [self.any(*kinds)() for _ in range(self.data.draw(st.integers(1, 3)))]
        return nn.Sequential(*pieces, *(self.head() if self.any(True, False) else []))


def _randomise(model: nn.Module) -> None:
    """Statistics, γ and β as after training, of either sign."""
    for module in model.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            assert module.running_mean is not None
            assert module.running_var is not None
            module.running_mean.normal_(0, 0.5)
            module.running_var.uniform_(0.5, 2)
            if module.affine:
                nn.init.normal_(module.bias, 0, 0.5)
                with torch.no_grad():
                    signs = torch.randint(0, 2, module.weight.shape) * 2 - 1
                    module.weight.uniform_(0.5, 1.5).mul_(signs)


def draw_network(
    data: Any,
    *,
    batch_norm: bool = True,
    kinds: Sequence[str] = KINDS,
    dtypes: Sequence[torch.dtype] = (torch.float64, torch.float32),
) -> tuple[nn.Module, Tensor]:
    """Draw a network in evaluation, and an example of one batch of three.

    Networks are sequential, residual, branching, with layers in several places, of linear layers or (transposed,
    grouped) convolutions over up to three axes. They are picklable.

    Args:
        data: What ``@given(st.data())`` gives.
        batch_norm: Whether the network has BN.
        kinds: The kinds of BN, of ``KINDS``: torch's, ours, ours with an activation, torch's frozen, torch's without
            γ and β.
        dtypes: What numbers may be.
    """
    dims = data.draw(st.integers(0, 3))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(data.draw(st.integers(0, 2**16)))
        drawer = _Drawer(data, dims, kinds if batch_norm else ())
        shape = (3, drawer.channels, *[drawer.size] * dims)
        model = drawer.network()
        _randomise(model)
        dtype = data.draw(st.sampled_from(list(dtypes)))
        return model.to(dtype).eval(), torch.randn(shape, dtype=dtype)

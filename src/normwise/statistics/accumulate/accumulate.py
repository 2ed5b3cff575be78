"""One update of running statistics per batch of several micro-batches."""

import weakref
from types import TracebackType
from typing import Any

from torch import nn
from torch.optim import Optimizer

from normwise.errors import ArgumentError
from normwise.layers.kind import kind_of_norm
from normwise.statistics.accumulate.accumulated_layer import AccumulatedLayer
from normwise.statistics.measure.measurable_layers import layers_of, reason_without_statistics
from normwise.statistics.measure.writable_statistics import check_writable_statistics
from normwise.statistics.preserve.force_eager import FORCE_EAGER

#: Layers whose statistics are currently accumulated.
_ACCUMULATED: "weakref.WeakSet[nn.Module]" = weakref.WeakSet()


def accumulate(model: nn.Module, *, optimizer: Optimizer | None = None) -> "Accumulation":
    r"""Update the running statistics once for several micro-batches, as their union would: for gradient accumulation.

    Inside the context, each micro-batch is normalised by its own statistics, as usual, and the running statistics
    stay unchanged. They are updated at the end, or with ``optimizer`` after each of its steps, with the union of
    all inputs of a layer in training:

    .. math::

        m = \sum_k m_k \qquad \mu = \frac1m \sum_k m_k \mu_k \qquad
        \sigma^2 = \frac1m \sum_k m_k \left(\sigma_k^2 + (\mu_k - \mu)^2\right)

    with the layer's momentum and Bessel's correction :math:`m / (m - 1)`; ``num_batches_tracked`` grows by one. The
    sums are float64, and cost one more read of each layer's input.

    It works for torch's layers, ours and subclasses, with masks, and for each time step of a recurrent BN. A layer
    that is called several times counts all calls. Layers that were not called, are frozen, or are in evaluation
    mode keep their statistics; so do layers with fewer than two values per channel. Recomputations of activation
    checkpointing are not counted. A ``state_dict`` or an evaluation inside the context has the old statistics.
    After an exception the statistics are those of the last step of the optimizer.

    To also normalise by the statistics of the union, see :func:`normwise.statistics.backward_of_union`.

    A model of torch.compile runs uncompiled inside the context, since compiled layers can't be observed.

    Args:
        model: Model with BN layers, also within torch's wrappers for compiled and parallel models.
        optimizer: Optimizer whose steps end a batch, for a context around a whole training. If a gradient scaler
            skips a step, the micro-batches count for the next step. The last ones, without a step after them, count
            at the end.

    Returns:
        A context manager, to be entered once. Its method ``step`` updates the statistics at once, for a loop
        without an optimizer of torch.

    Raises:
        ModelError: the model has no BN layer; or, inside the context, a layer normalises by hand, so that its
            inputs can't be observed.
        ArgumentError: a layer is being accumulated already, has not been initialised, or has statistics that can't
            be written to.

    References:
        Chan, Golub & LeVeque 1983, equations 2.1 and 2.2.

    Example:
        >>> import torch, normwise
        >>> model = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.BatchNorm1d(8))
        >>> with normwise.accumulate(model):
        ...     for part in torch.randn(64, 4).chunk(4):
        ...         model(part).square().mean().backward()
        >>> model[1].num_batches_tracked
        tensor(1)
    """
    return Accumulation(model, optimizer)


class Accumulation:
    """Context of :func:`accumulate`."""

    def __init__(self, model: nn.Module, optimizer: Optimizer | None) -> None:
        found = layers_of(model, to="accumulate").items()
        learning = {path: layer for path, layer in found if kind_of_norm(layer).learns_statistics}
        reasons = {path: reason_without_statistics(path, layer) for path, layer in learning.items()}
        layers = {path: layer for path, layer in learning.items() if kind_of_norm(layer).has_statistics}
        for path, layer in layers.items():
            if reasons[path]:
                raise ArgumentError(
                    f"{type(layer).__name__} {path!r} can't be accumulated, since {reasons[path]}; remove that first, "
                    "with torch.nn.utils.parametrize.remove_parametrizations"
                )
        check_writable_statistics(layers)
        self._modules = layers
        self._layers = [AccumulatedLayer(path, layer) for path, layer in layers.items()]
        self._optimizer = _unwrapped(optimizer)
        if not (self._optimizer is None or isinstance(self._optimizer, Optimizer)):
            raise ArgumentError(
                f"expected an optimizer of torch.optim, got {type(optimizer).__name__}; without one, call step() of "
                "what normwise.accumulate returns"
            )
        self._handle: Any = None
        self._holds_eager = False

    def __enter__(self) -> "Accumulation":
        """Start accumulating."""
        for path, layer in self._modules.items():
            if layer in _ACCUMULATED:
                raise ArgumentError(
                    f"the statistics of {type(layer).__name__} {path!r} are being accumulated already; enter one "
                    "normwise.accumulate at a time, around all micro-batches of a batch"
                )
        _ACCUMULATED.update(self._modules.values())
        self._holds_eager = FORCE_EAGER.begin()
        for layer in self._layers:
            layer.begin()
        if self._optimizer is not None:
            self._handle = self._optimizer.register_step_post_hook(lambda *_: self.step())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop accumulating, and update the statistics unless there is an exception."""
        if self._handle is not None:
            self._handle.remove()
        for layer in self._layers:
            layer.end()
        if self._holds_eager:
            FORCE_EAGER.end()
        _ACCUMULATED.difference_update(self._modules.values())
        if kind is None:
            self.step()

    def step(self) -> None:
        """Update the running statistics with the union of the micro-batches since the last update."""
        for layer in self._layers:
            layer.move()


def _unwrapped(optimizer: Any) -> Optimizer | None:
    """Return the torch optimizer within a training framework's wrapper."""
    while isinstance(inner := getattr(optimizer, "optimizer", None), Optimizer):
        optimizer = inner
    return optimizer

"""Running statistics that micro-batches move once, as the batch that they are parts of would."""

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

#: Layers whose statistics are accumulated now.
_ACCUMULATED: "weakref.WeakSet[nn.Module]" = weakref.WeakSet()


def accumulate(model: nn.Module, *, optimizer: Optimizer | None = None) -> "Accumulation":
    r"""Let micro-batches move the running statistics once, as their union would: a context for gradient accumulation.

    Inside, each micro-batch is normalised by its own statistics, as ever, and the running ones stay. They move at the
    end, or with ``optimizer`` behind each of its steps, by the union of all that a layer was called with in training:

    .. math::

        m = \sum_k m_k \qquad \mu = \frac1m \sum_k m_k \mu_k \qquad
        \sigma^2 = \frac1m \sum_k m_k \left(\sigma_k^2 + (\mu_k - \mu)^2\right)

    with the layer's momentum, Bessel's correction :math:`m / (m - 1)`, and one more in ``num_batches_tracked``. The
    sums are float64, and cost one more read of each layer's input.

    It works for torch's layers, ours and subclasses, with masks, and for each time step of a recurrent BN. A layer that
    is called several times counts all calls. Layers that were not called, are frozen, or in evaluation keep their
    statistics, and fewer than two values a channel move none. A recomputation of activation checkpointing counts
    nothing. What is read inside, a ``state_dict`` or an evaluation, has the statistics of before. After an exception
    nothing has moved since the last step of the optimizer.

    To normalise, too, by the statistics of the union see :func:`normwise.statistics.backward_of_union`.

    A model of torch.compile runs uncompiled inside, since compiled layers can't be observed.

    Args:
        model: Any model with BN layers, also within the wrappers of torch for compiled and parallel models.
        optimizer: One whose steps end the micro-batches of a batch, for a context around a whole training. A gradient
            scaler that leaves a step out leaves the micro-batches to the next. The last ones, behind which there is no
            step, count at the end.

    Returns:
        A context manager, to be entered once. Its method ``step`` moves the statistics at once, for a loop that has no
        optimizer of torch.

    Raises:
        ModelError: no BN layer; or, inside, a layer that normalises by hand, so that nothing can be seen of it.
        ArgumentError: a layer that is being accumulated already, has not been initialised, or whose statistics can't be
            written to.

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
    """The context of :func:`accumulate`."""

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
        """Begin to accumulate."""
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
        """End, and move the statistics unless an exception passes through."""
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
        """Move the running statistics by the union of the micro-batches since the last time."""
        for layer in self._layers:
            layer.move()


def _unwrapped(optimizer: Any) -> Optimizer | None:
    """Return the optimizer that those of training frameworks wrap."""
    while isinstance(inner := getattr(optimizer, "optimizer", None), Optimizer):
        optimizer = inner
    return optimizer

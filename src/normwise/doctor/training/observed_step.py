"""One training step with observed calls of BN layers."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from normwise.doctor.training import layer_buffers
from normwise.layers import input_of_call

#: Number of parameters whose gradients are checked for a backward pass.
_MOST_SENTINELS = 16


@dataclass(frozen=True, eq=False)
class LayerCall:
    """One call of a layer that normalises by the batch.

    Attributes:
        samples: Length of the batch axis.
        backwards: Number of backward passes of the step before it.
        in_backward: Whether a backward pass made it, as activation checkpointing does.
        mean, deviation: Moments of the layer's input, ``(C,)``.
    """

    samples: int
    backwards: int
    in_backward: bool
    mean: Tensor
    deviation: Tensor


class ObservedStep:
    """Calls of BN layers from one step of the optimiser to the next, or in one pass.

    Attributes:
        layers: Layers that learn statistics, by path.
        calls: Calls of each layer, by path, in the order of the first ones.
        passes: Number of backward passes before each pass of the model.
        counts: Number of batches that each layer had counted before, by path.
        frozen: Old running means of the layers whose parameters are not trained, by path.
    """

    def __init__(
        self,
        model: nn.Module,
        layers: Mapping[str, nn.Module],
        observed: Sequence[str],
        untrained: Callable[[], list[str]],
        one_value: Callable[[str, nn.Module], None],
    ) -> None:
        """Start observing.

        Args:
            model: Model to observe.
            layers: Layers that learn statistics, by path.
            observed: Paths of the layers that call hooks.
            untrained: Function that returns the paths of the layers whose parameters are not trained.
            one_value: Function that is called before a layer normalises one value per channel.
        """
        self.layers = layers
        self._one_value, self._untrained = one_value, untrained
        trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
        self._sentinels = trained[:: max(1, len(trained) // _MOST_SENTINELS)]
        self._gradients: tuple[Any, ...] = self._now()
        self._begin()
        self._remove = [
            layers[path].register_forward_pre_hook(LayerHook(self, path), with_kwargs=True).remove
            for path in observed
        ]

    def end(self) -> None:
        """Remove the hooks."""
        for remove in self._remove:
            remove()
        self._remove.clear()

    def begin_pass(self) -> None:
        """Record the beginning of a pass of the model."""
        self._look_at_gradients()
        self.passes.append(self._backwards)

    def moved(self) -> list[str]:
        """Return the paths of the layers that were and are not trained, and whose statistics changed."""
        still = set(self._untrained())
        moved = layer_buffers.moved(self.layers, self.frozen)
        return [path for path in moved if path in still]

    def updates(self, path: str) -> int:
        """Return how often the statistics of a layer were updated, if it counts."""
        now = layer_buffers.counts({path: self.layers[path]})
        return now[path] - self.counts[path] if path in self.counts else len(self.calls.get(path, ()))

    def look(self, path: str, layer: nn.Module, args: Any, kwargs: Mapping[str, Any]) -> None:
        """Record a call of a layer."""
        x = input_of_call(args, kwargs)
        if not layer.training or not isinstance(x, Tensor) or x.dim() < 2 or not x.is_floating_point():
            return
        if x.is_meta or x.numel() == 0:
            return
        in_backward = torch._C._current_graph_task_id() != -1
        if not in_backward:
            self._look_at_gradients()
        mask = kwargs.get("mask")
        values = int(mask.sum()) if isinstance(mask, Tensor) else x.numel() // x.shape[1]
        if values == 1:
            self._one_value(path, layer)
        with torch.no_grad():
            flat = x.detach().float().transpose(0, 1).flatten(1)
            variance, mean = torch.var_mean(flat, 1, correction=0)
        call = LayerCall(len(x), self._backwards, in_backward, mean, variance.sqrt())
        self.calls.setdefault(path, []).append(call)

    def _begin(self) -> None:
        self.calls: dict[str, list[LayerCall]] = {}
        self.passes: list[int] = []
        self.counts = layer_buffers.counts(self.layers)
        self.frozen = layer_buffers.means({path: self.layers[path] for path in self._untrained()})
        self._backwards = 0

    def _look_at_gradients(self) -> None:
        """Detect from the gradients whether a backward pass was made, or a step of the optimiser was skipped."""
        if (now := self._now()) == self._gradients:
            return
        self._gradients = now
        gradients = [parameter.grad for parameter in self._sentinels if parameter.grad is not None]
        if any(bool(gradient.any()) for gradient in gradients):
            self._backwards += 1
        else:  # zero_grad: a gradient scaler may skip a step, whose passes are not part of this step
            self._begin()

    def _now(self) -> tuple[Any, ...]:
        found = (parameter.grad for parameter in self._sentinels)
        return tuple(None if grad is None else (id(grad), grad._version) for grad in found)


class LayerHook:
    """Hook on a layer, which does nothing in a copy or a pickle of the model."""

    def __init__(self, step: ObservedStep | None = None, path: str = "") -> None:
        self._step, self._path = step, path

    def __call__(self, layer: nn.Module, args: Any, kwargs: Any) -> None:
        """Record the call, unless the code is being compiled or traced, where tensors have no values."""
        if torch.compiler.is_compiling() or self._step is None or torch._C._is_tracing():
            return
        self._step.look(self._path, layer, args, kwargs)

    def __reduce__(self) -> tuple[Any, ...]:
        return LayerHook, ()

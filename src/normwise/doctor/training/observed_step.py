"""One step of a training whose calls of BN layers are observed."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from normwise.doctor.training import layer_buffers
from normwise.layers import input_of_call

#: Parameters whose gradients tell that a backward pass was made.
_MOST_SENTINELS = 16


@dataclass(frozen=True, eq=False)
class LayerCall:
    """One call of a layer that normalises by the batch.

    Attributes:
        samples: Length of the batch axis.
        backwards: Number of backward passes of the step before it.
        in_backward: Whether a backward pass made it, as activation checkpointing does.
        mean, deviation: ``(C,)``, moments of its input.
    """

    samples: int
    backwards: int
    in_backward: bool
    mean: Tensor
    deviation: Tensor


class ObservedStep:
    """Calls of BN layers from one step of the optimiser to the next, or in one pass.

    Attributes:
        layers: The layers that learn statistics, by path.
        calls: Calls of each layer, by path, in the order of the first ones.
        passes: Number of backward passes before each pass of the model.
        counts: Number of batches that each layer had counted before, by path.
        frozen: Running means, as they were before, of the layers whose parameters are not trained, by path.
    """

    def __init__(
        self,
        model: nn.Module,
        layers: Mapping[str, nn.Module],
        observed: Sequence[str],
        untrained: Callable[[], list[str]],
        one_value: Callable[[str, nn.Module], None],
    ) -> None:
        """Begin to observe.

        Args:
            model: The model.
            layers: The layers that learn statistics, by path.
            observed: Paths of those that call hooks.
            untrained: Gives the paths of the layers whose parameters are not trained.
            one_value: Called before a layer normalises one value a channel.
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
        """Take the hooks away."""
        for remove in self._remove:
            remove()
        self._remove.clear()

    def begin_pass(self) -> None:
        """Note that a pass of the model begins."""
        self._look_at_gradients()
        self.passes.append(self._backwards)

    def moved(self) -> list[str]:
        """Return the paths of the layers that are not trained, then and now, and whose statistics moved."""
        still = set(self._untrained())
        moved = layer_buffers.moved(self.layers, self.frozen)
        return [path for path in moved if path in still]

    def updates(self, path: str) -> int:
        """Return how often the statistics of a layer were moved, as far as it counts."""
        now = layer_buffers.counts({path: self.layers[path]})
        return now[path] - self.counts[path] if path in self.counts else len(self.calls.get(path, ()))

    def look(self, path: str, layer: nn.Module, args: Any, kwargs: Mapping[str, Any]) -> None:
        """Note a call of a layer."""
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
        """Tell by the gradients whether a backward pass was made, or a step of the optimiser was left out."""
        if (now := self._now()) == self._gradients:
            return
        self._gradients = now
        gradients = [parameter.grad for parameter in self._sentinels if parameter.grad is not None]
        if any(bool(gradient.any()) for gradient in gradients):
            self._backwards += 1
        else:  # zero_grad: a gradient scaler leaves steps out, and what went before is no part of this one
            self._begin()

    def _now(self) -> tuple[Any, ...]:
        found = (parameter.grad for parameter in self._sentinels)
        return tuple(None if grad is None else (id(grad), grad._version) for grad in found)


class LayerHook:
    """The hook on a layer; in a copy of the model, or a file of it, it does nothing."""

    def __init__(self, step: ObservedStep | None = None, path: str = "") -> None:
        self._step, self._path = step, path

    def __call__(self, layer: nn.Module, args: Any, kwargs: Any) -> None:
        """Note the call; not in code that is being compiled or traced, whose tensors have no numbers."""
        if torch.compiler.is_compiling() or self._step is None or torch._C._is_tracing():
            return
        self._step.look(self._path, layer, args, kwargs)

    def __reduce__(self) -> tuple[Any, ...]:
        return LayerHook, ()

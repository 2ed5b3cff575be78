"""Hooks on the layers of a model, which summarise what the layers normalise in a recorded pass."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from normwise.layers import input_of_call, kind_of_norm, slot_of_mean
from normwise.statistics.observe.normalised_inputs import Call, look_at_input, observe
from normwise.statistics.preserve.force_eager import FORCE_EAGER
from normwise.statistics.watch.layer_summary import layer_summary
from normwise.statistics.watch.pending_step import PendingStep


class LayerHooks:
    """Hooks on the watched layers of a model, which are there during a recorded pass only.

    Those of a model that is a BN layer itself, whose calls no hook of its own precedes, are there all the time.

    Attributes:
        unseen: Layers whose normalised values can't be observed, by path.
        pending: The step of the last recorded pass, as long as gradients may arrive; None before and after.
    """

    def __init__(
        self, model: nn.Module, layers: Mapping[str, nn.Module], channels: Mapping[str, tuple[int, ...]]
    ):
        self.unseen: dict[str, nn.Module] = {}
        self.pending: PendingStep | None = None
        self._model = model
        self._layers = layers
        self._channels = channels
        self._handles: list[Callable[[], None]] = []
        self._forces_eager = False
        # The model calls the forward that it had before its hooks.
        self._permanent = [
            self._observe(path, layer)
            for path, layer in layers.items()
            if layer is model and kind_of_norm(layer).forward_of is None
        ]

    @property
    def in_pass(self) -> bool:
        """Return whether a recorded pass has begun and not ended."""
        return bool(self._handles)

    def begin(self, step: int, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        """Install the hooks for a pass of the model that is about to begin with these arguments."""
        self.pending = PendingStep(step)
        for path, layer in self._layers.items():
            if layer is not self._model:
                self._handles.append(self._observe(path, layer))
            elif kind_of_norm(layer).forward_of is not None:
                # The hooks that precede the pass are already running.
                look_at_input(partial(self._look, path), layer, args, kwargs)
            behind = layer.register_forward_hook(partial(self._behind_layer, path))
            self._handles.append(behind.remove)
        self._forces_eager = FORCE_EAGER.begin()

    def call_after_pass(self, call: Callable[..., None]) -> None:
        """Call a function when the model's pass has ended."""
        self._handles.append(self._model.register_forward_hook(call).remove)

    def end(self) -> None:
        """Remove the hooks of the pass; gradients are still to come."""
        for remove in self._handles:
            remove()
        self._handles.clear()
        if self._forces_eager:
            FORCE_EAGER.end()
            self._forces_eager = False

    def discard(self) -> None:
        """Forget the pending step, and remove its hooks for gradients."""
        if self.pending is not None:
            self.pending.release()
            self.pending = None

    def close(self) -> None:
        """Remove the hooks that are there all the time."""
        for stop in self._permanent:
            stop()

    def _observe(self, path: str, layer: nn.Module) -> Callable[[], None]:
        return observe(layer, partial(self._look, path), partial(self._not_seen, path))

    def _look(self, path: str, layer: nn.Module, call: Call) -> bool:
        keeps = layer._buffers.get("running_mean") is not None and getattr(layer, "track_running_stats", True)
        own = slot_of_mean(path, layer, call.running_mean) is not None
        plain = kind_of_norm(layer).forward_of is not None
        if not own and not (call.running_mean is None and not keeps) and not plain:
            return False
        self._record(path, layer, call.values, call.mask)
        return True

    def _not_seen(
        self, path: str, layer: nn.Module, forward: object, args: tuple[Any, ...], kwargs: Any, output: Any
    ) -> Any:
        if kind_of_norm(layer).family == "frozen":  # it computes by hand, with constants
            self._record(path, layer, input_of_call(args, kwargs), None)
        elif self.pending is not None:
            self.unseen[path] = layer
        return output

    def _record(self, path: str, layer: nn.Module, x: Any, mask: Any) -> None:
        record = self.pending
        if record is None:
            return
        if (point := record.points.get(path)) is not None:
            record.points[path] = replace(point, calls=point.calls + 1)
            return
        if not _fits(layer, x, mask):
            return
        point = layer_summary(layer, x, mask, self._channels[path])
        if point is None:
            return
        record.points[path] = point
        for name in ("weight", "bias"):
            parameter = getattr(layer, name)
            if parameter is not None and parameter.requires_grad and parameter.is_leaf:
                record.keep_gradient(path, name, parameter)

    def _behind_layer(self, path: str, layer: nn.Module, args: tuple[Any, ...], output: object) -> None:
        record = self.pending
        if (
            record is not None
            and path in record.points
            and record.points[path].calls == 1
            and isinstance(output, Tensor)
            and output.requires_grad
        ):
            record.keep_gradient(path, "output", output)


def _fits(layer: nn.Module, x: Any, mask: Any) -> bool:
    """Return whether the layer's arguments are fitting tensors with values; if not, the layer will raise an error."""
    if type(x) not in (Tensor, nn.Parameter) or x.dim() < 2 or not x.is_floating_point() or x.is_meta:
        return False
    known = layer.running_mean if layer.running_mean is not None else layer.weight
    if known is not None and known.shape != x.shape[1:2]:
        return False
    return mask is None or (
        isinstance(mask, Tensor)
        and mask.dtype == torch.bool
        and mask.shape == (x.shape[0], *x.shape[2:])
        and mask.device == x.device
    )

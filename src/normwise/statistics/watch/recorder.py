"""The hooks that `watch` installs on a model, and their records."""

import warnings
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from normwise.layers import input_of_call, kind_of_norm, slot_of_mean
from normwise.recordings.sinks import Sink
from normwise.records import Recording, WatchedStep
from normwise.statistics.observe.normalised_inputs import Call, look_at_input, observe
from normwise.statistics.preserve.force_eager import FORCE_EAGER
from normwise.statistics.watch.layer_summary import layer_summary
from normwise.statistics.watch.pending_step import PendingStep

_transforms = torch._C._functorch.peek_interpreter_stack  # pyright: ignore[reportAttributeAccessIssue]


class Recorder:
    """Records so far of a model that :func:`normwise.watch` watches; a context manager.

    Between records a single hook, on the model itself, counts the passes; hooks on layers and gradients exist only
    during a recorded step.

    Attributes:
        steps: Training passes so far.
        unseen: Layers whose normalised values can't be observed, by path.
    """

    def __init__(
        self,
        model: nn.Module,
        layers: Mapping[str, nn.Module],
        channels: Mapping[str, tuple[int, ...]],
        head: Recording,
        sink: Sink | None,
    ):
        self.steps = 0
        self.unseen: dict[str, nn.Module] = {}
        self._layers = layers
        self._channels = channels
        self._head = head
        self._sink = sink
        self._every = head.every
        self._points: list[WatchedStep] = []
        self._pending: PendingStep | None = None
        self._pass_handles: list[Callable[[], None]] = []
        self._forces_eager = False
        self._model = model
        self._follows = self._closed = False
        # The model calls the forward that it had before its hooks.
        self._stop = [
            self._observe(path, layer)
            for path, layer in layers.items()
            if layer is model and kind_of_norm(layer).forward_of is None
        ]

    def follow_passes(self) -> None:
        """Record the passes of the model from now on; without it, whoever calls the model tells of them."""
        self._follows = True
        self._stop.append(self._count_passes(self._model))

    @property
    def points(self) -> tuple[WatchedStep, ...]:
        """Return the complete records; a step's record is complete when the next step begins or the watch ends."""
        return tuple(self._points)

    @property
    def record(self) -> Recording:
        """Return the recording so far, as a record for a report."""
        return replace(self._head, points=self.points)

    def __str__(self) -> str:
        """Return one line per layer for the last record."""
        return str(self.record)

    def to_html(self) -> str:
        """Return the page of the records so far; see :meth:`normwise.records.Recording.to_html`."""
        return self.record.to_html()

    def _repr_html_(self) -> str:
        return self.record._repr_html_()

    def close(self) -> None:
        """Remove all hooks, complete the last record, and warn of what was not seen; do nothing a second time."""
        if self._closed:
            return
        self.abandon()
        if self.steps == 0:
            _warn(
                f"watch saw no training pass of {type(self._model).__name__}: it was in evaluation, or only called as "
                "a part of another model, or its compiled form was, which should be watched itself"
            )
        for path, layer in self.unseen.items():
            _warn(
                f"watch can't see what {type(layer).__name__} {path!r} normalises where its forward calls no "
                "batch_norm with its running statistics; such calls are not recorded"
            )

    def abandon(self) -> None:
        """Remove all hooks, and complete the last record, without a warning: the training has failed."""
        if self._closed:
            return
        self._closed = True
        for stop in self._stop:
            stop()
        self._abandon_pass()
        try:
            self._complete()
        finally:
            if self._sink is not None:
                self._sink.close()

    def __enter__(self) -> "Recorder":
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self.close()
        else:
            self.abandon()

    def before_pass(self, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None) -> None:
        """Count a training pass of the model, and record it if it is due."""
        # Tensors without values, as in a trace or in vmap.
        if torch.compiler.is_compiling() or torch._C._is_tracing() or _transforms() is not None:
            return
        if self._pass_handles:
            self._abandon_pass()
        if not self._model.training:
            return
        if self._pending is not None:
            self._complete()
        step, self.steps = self.steps, self.steps + 1
        if step % self._every == 0:
            self._begin(step, args, kwargs or {})

    def after_pass(self, *_: object) -> None:
        """End what :meth:`before_pass` began; gradients are still to come."""
        if self._pass_handles:
            self._end_pass()

    def _count_passes(self, model: nn.Module) -> Callable[[], None]:
        """Call :meth:`before_pass` before each pass of the model; return a function that ends that."""
        compiled = model._compiled_call_impl
        if compiled is None:
            return model.register_forward_pre_hook(_Hook(self), with_kwargs=True).remove

        # The function that ``model.compile()`` made calls no hooks; torch.compile's checks after it need the
        # old stance.
        def call(*args: Any, **kwargs: Any) -> Any:
            self.before_pass(args, kwargs)
            output = compiled(*args, **kwargs)
            self.after_pass()
            return output

        def stop() -> None:
            model._compiled_call_impl = compiled

        model._compiled_call_impl = call
        return stop

    def _begin(self, step: int, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        model = self._model
        self._pending = PendingStep(step)
        for path, layer in self._layers.items():
            if layer is not model:
                self._pass_handles.append(self._observe(path, layer))
            elif kind_of_norm(layer).forward_of is not None:
                # The hooks that precede the pass are already running.
                look_at_input(partial(self._look, path), layer, args, kwargs)
            behind = layer.register_forward_hook(partial(self._behind_layer, path))
            self._pass_handles.append(behind.remove)
        if self._follows and model._compiled_call_impl is None:
            self._pass_handles.append(model.register_forward_hook(self.after_pass).remove)
        self._forces_eager = FORCE_EAGER.begin()

    def _end_pass(self) -> None:
        for remove in self._pass_handles:
            remove()
        self._pass_handles.clear()
        if self._forces_eager:
            FORCE_EAGER.end()
            self._forces_eager = False

    def _abandon_pass(self) -> None:
        """Discard a recorded pass that an exception ended."""
        if self._pass_handles:
            self._end_pass()
            self._discard()

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
        elif self._pending is not None:
            self.unseen[path] = layer
        return output

    def _record(self, path: str, layer: nn.Module, x: Any, mask: Any) -> None:
        record = self._pending
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
        record = self._pending
        if (
            record is not None
            and path in record.points
            and record.points[path].calls == 1
            and isinstance(output, Tensor)
            and output.requires_grad
        ):
            record.keep_gradient(path, "output", output)

    def _complete(self) -> None:
        record = self._pending
        if record is None:
            return
        point = record.complete()
        self._discard()
        self._points.append(point)
        if self._sink is not None:
            self._sink.append(point)

    def _discard(self) -> None:
        if self._pending is not None:
            self._pending.release()
            self._pending = None


class _Hook:
    """Hook of a recorder, which does nothing in a copy or a pickle of the model."""

    def __init__(self, recorder: Recorder | None = None):
        self._recorder = recorder

    def __call__(self, model: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        if self._recorder is not None:
            self._recorder.before_pass(args, kwargs)

    def __reduce__(self) -> tuple[Any, ...]:
        return _Hook, ()


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


def _warn(text: str) -> None:
    # Its callers: close, the end of a block, the user's code.
    warnings.warn(text, stacklevel=4)

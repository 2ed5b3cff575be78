"""The recording of a model's passes, and its records."""

import warnings
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from normwise.recordings.sinks import Sink
from normwise.records import Recording, WatchedStep
from normwise.statistics.watch.count_passes import count_passes
from normwise.statistics.watch.layer_hooks import LayerHooks
from normwise.statistics.watch.schedule import Schedule

_transforms = torch._C._functorch.peek_interpreter_stack  # pyright: ignore[reportAttributeAccessIssue]


class Recorder:
    """Records so far of a model that :func:`normwise.watch` watches; a context manager.

    Between records a single hook, on the model itself, counts the passes; hooks on layers and gradients exist only
    during a recorded step.

    Attributes:
        steps: Training passes so far.
    """

    def __init__(
        self, model: nn.Module, hooks: LayerHooks, head: Recording, schedule: Schedule, sink: Sink | None
    ):
        self.steps = 0
        self._model = model
        self._hooks = hooks
        self._head = head
        self._schedule = schedule
        self._sink = sink
        self._points: list[WatchedStep] = []
        self._stop: Callable[[], None] | None = None
        self._closed = False

    @property
    def unseen(self) -> Mapping[str, nn.Module]:
        """Return the layers whose normalised values can't be observed, by path."""
        return self._hooks.unseen

    def follow_passes(self) -> None:
        """Record the passes of the model from now on; without it, whoever calls the model tells of them."""
        self._stop = count_passes(self._model, self)

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

    def to_rows(self) -> list[dict[str, Any]]:
        """Return the records so far as rows of a table; see :meth:`normwise.records.Recording.to_rows`."""
        return self.record.to_rows()

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
        self._hooks.close()
        if self._stop is not None:
            self._stop()
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
        self._abandon_pass()
        if not self._model.training:
            return
        self._complete()
        step, self.steps = self.steps, self.steps + 1
        if self._schedule.is_due(step):
            self._hooks.begin(step, args, kwargs or {})
            if self._stop is not None and self._model._compiled_call_impl is None:
                self._hooks.call_after_pass(self.after_pass)

    def after_pass(self, *_: object) -> None:
        """End what :meth:`before_pass` began; gradients are still to come."""
        if self._hooks.in_pass:
            self._hooks.end()

    def _abandon_pass(self) -> None:
        """Discard a recorded pass that an exception ended."""
        if self._hooks.in_pass:
            self._hooks.end()
            self._hooks.discard()

    def _complete(self) -> None:
        if self._hooks.pending is None:
            return
        point = self._hooks.pending.complete()
        self._hooks.discard()
        self._points.append(point)
        if self._sink is not None:
            self._sink.append(point)


def _warn(text: str) -> None:
    # Its callers: close, the end of a block, the user's code.
    warnings.warn(text, stacklevel=4)

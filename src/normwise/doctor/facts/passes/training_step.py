"""One instrumented training step: each call of a BN layer, and the changes of the layers."""

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from normwise.doctor.facts.data.user_batches import UserBatch
from normwise.doctor.facts.passes.batch_moments import sample_scatter
from normwise.doctor.facts.passes.task import Task, output_tensor
from normwise.layers import LayerKind, input_of_call, slot_of_mean, slots_of
from normwise.statistics.moments import Moments
from normwise.statistics.observe.normalised_inputs import Call, observe


@dataclass(frozen=True, eq=False)
class NormCall:
    """One call of a BN layer.

    Attributes:
        path: Path of the used slot, or of the layer if the slot is unknown.
        layer_path: Path of the layer.
        forward: Number of the forward pass in the step, from 0: each call of the model, or of a part of it by the loss.
        backwards: Number of backward passes of the step that had begun before.
        samples: Length of the batch axis.
        values: Number of values per channel that take part in the statistics.
        by_batch: Whether the call normalised by the batch.
        in_backward: Whether a backward pass made it, as activation checkpointing does.
        dtype: Type of the values.
        mean, deviation: Moments of the values per channel, ``(C,)``, float64; NaN if there are none.
        scatter: Unbiased variance of the samples' own means, ``(C,)``, float64; NaN for fewer than two.
    """

    path: str
    layer_path: str
    forward: int
    backwards: int
    samples: int
    values: int
    by_batch: bool
    in_backward: bool
    dtype: torch.dtype
    mean: Tensor
    deviation: Tensor
    scatter: Tensor


@dataclass(frozen=True)
class TrainingStep:
    """One training step, without the optimiser.

    Attributes:
        calls: Each call of a BN layer, in order.
        moved: Paths of the slots whose running statistics have changed.
        counted: Number of batches that each counting slot has counted, by path.
        loss: Loss of the step; NaN if there is none.
        gradients: Largest absolute gradient of each parameter with a gradient, by name.
        failed: Reason why the step ended early; empty if it did not.
    """

    calls: tuple[NormCall, ...]
    moved: frozenset[str]
    counted: dict[str, int]
    loss: float
    gradients: dict[str, float]
    failed: str = ""

    def calls_of(self, layer_path: str) -> list[NormCall]:
        """Return the calls of a layer."""
        return [call for call in self.calls if call.layer_path == layer_path]

    def forward_calls(self) -> dict[str, list[NormCall]]:
        """Return the calls outside a backward pass that normalised by the batch, by the path of their slot."""
        found: dict[str, list[NormCall]] = {}
        for call in self.calls:
            if call.by_batch and not call.in_backward:
                found.setdefault(call.path, []).append(call)
        return found


def run_training_step(
    task: Task, layers: dict[str, LayerKind], batch: UserBatch, *, train: bool
) -> TrainingStep:
    """Make a forward and a backward pass as in training; the caller preserves the state of the model.

    Args:
        task: Model and loss; without a loss, the mean square of the output replaces it.
        layers: BN layers by path.
        batch: Batch of the step.
        train: Whether to put the model into training mode first; otherwise its modules keep their modes.
    """
    model = task.model
    recorder = _Recorder()
    before = _statistics(layers)
    failed, loss = "", None
    with ExitStack() as stack, torch.enable_grad():
        if train:
            model.train()
        for parameter in model.parameters():
            parameter.grad = None
        for module in model.modules():
            if isinstance(module, torch.jit.ScriptModule):
                continue  # it takes no hooks
            module.register_forward_pre_hook(recorder.enter, prepend=True)
            module.register_forward_hook(recorder.leave, always_call=True)
        for path, kind in layers.items():
            if kind.initialised:
                stack.callback(
                    observe(kind.layer, partial(recorder.look, path), partial(recorder.unseen, path))
                )
                kind.layer.register_forward_hook(recorder.watch_backward)
        try:
            output, loss = task.run(batch)
            value = loss
            if value is None and task.loss is None:
                scores = output_tensor(output)
                value = scores.float().square().mean() if isinstance(scores, Tensor) else None
            # A loss that makes a whole step has already made the backward pass.
            if value is not None and value.requires_grad and not recorder.backwards:
                _backward(model, value)
        except Exception as error:  # the user's code may raise anything: the rules see how far it got
            cause = error.__cause__ or error
            failed = f"{type(cause).__name__}: {(str(cause) or 'without a text').splitlines()[0]}"
    after = _statistics(layers)
    return TrainingStep(
        tuple(recorder.calls),
        frozenset(path for path, held in after.items() if not _are_same(held[:2], before[path][:2])),
        {
            path: held[2] - counted
            for path, held in after.items()
            if held[2] is not None and (counted := before[path][2]) is not None
        },
        float("nan") if loss is None else float(loss.detach()),
        {
            name: parameter.grad.detach().abs().max().item()
            for name, parameter in model.named_parameters()
            if parameter.grad is not None and parameter.grad.layout is torch.strided and parameter.numel()
        },
        failed,
    )


def _backward(model: nn.Module, loss: Tensor) -> None:
    made = any(parameter.grad is not None for parameter in model.parameters())
    try:
        loss.backward()
    except RuntimeError:
        # A loss that accumulates gradients makes the backward passes itself, and may return a freed graph.
        if not made:
            raise


@dataclass
class _Recorder:
    calls: list[NormCall] = field(default_factory=list)
    forwards: int = 0
    backwards: set[int] = field(default_factory=set)
    #: Modules that are running outside a backward pass, from the outermost one.
    running: list[nn.Module] = field(default_factory=list)

    def enter(self, module: nn.Module, args: Any) -> None:
        if torch._C._current_graph_task_id() != -1:
            return
        self.forwards += not self.running
        self.running.append(module)

    def leave(self, module: nn.Module, args: Any, output: Any) -> None:
        # Forward passes of a recomputation may end early, so they leave nothing here.
        if self.running and self.running[-1] is module and torch._C._current_graph_task_id() == -1:
            self.running.pop()

    def watch_backward(self, layer: nn.Module, args: Any, output: Any) -> None:
        if isinstance(output, Tensor) and output.requires_grad:
            output.register_hook(lambda _: self.backwards.add(torch._C._current_graph_task_id()))

    def look(self, path: str, layer: nn.Module, call: Call) -> bool:
        slot = slot_of_mean(path, layer, call.running_mean)
        self._note(path if slot is None else slot, path, call.values, call.mask, call.training)
        return slot is not None

    def unseen(
        self, path: str, layer: nn.Module, forward: Callable[..., Any], args: Any, kwargs: Any, output: Any
    ) -> Any:
        # It normalises by hand, so only its input is visible.
        x = input_of_call(args, kwargs)
        if x is not None and not any(call.layer_path == path for call in self.calls):
            self._note(path, path, x, None, layer.training)
        return output

    def _note(self, slot: str, path: str, values: Tensor, mask: Tensor | None, by_batch: bool) -> None:
        if values.dim() < 2 or not values.is_floating_point():
            return
        moments = Moments.of(values.detach(), mask)
        graph = torch._C._current_graph_task_id()
        nothing = torch.full_like(moments.mean, float("nan"))
        self.calls.append(
            NormCall(
                slot,
                path,
                max(self.forwards - 1, 0),
                len(self.backwards),
                len(values),
                moments.count,
                by_batch,
                graph != -1,
                values.dtype,
                (moments.mean if moments.count else nothing).cpu(),
                (moments.variance.sqrt() if moments.count else nothing).cpu(),
                sample_scatter(values),
            )
        )


def _statistics(layers: dict[str, LayerKind]) -> dict[str, tuple[Tensor, Tensor, int | None]]:
    found = {}
    for path, kind in layers.items():
        if not kind.initialised or not kind.has_statistics or kind.computed:
            continue
        counter = kind.layer._buffers.get("num_batches_tracked")
        for row, slot in enumerate(slots_of(path, kind.layer)):
            count = None
            if isinstance(counter, Tensor):
                count = int(counter if counter.dim() == 0 else counter[row])
            found[slot.path] = (*slot.values(), count)
    return found


def _are_same(one: tuple[Tensor, ...], other: tuple[Tensor, ...]) -> bool:
    return all(
        a.shape == b.shape and bool(((a == b) | (a.isnan() & b.isnan())).all())
        for a, b in zip(one, other, strict=True)
    )

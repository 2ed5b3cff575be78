"""A whole training step of ResNet-50 under bfloat16 autocast: eager, accelerated, and compiled, alone and by ours."""

import copy
import time
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from statistics import median, quantiles
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

import normwise
from benchmarks.cuda.figures.resnet50 import resnet50
from benchmarks.cuda.place import Place
from normwise.benchmark.gpu_clock import graphed

Step = Callable[[], Tensor]
_FORMATS = {"NHWC": torch.channels_last, "NCHW": torch.contiguous_format}
_ENTRY_POINTS = "torch_dynamo_backends"


class _Steps:
    """A network, a batch, and steps of copies of the network that are made in several ways."""

    def __init__(self, place: Place, order: str) -> None:
        torch.manual_seed(0)
        self.place = place
        batch, size, classes = (4, 32, 10) if place.tiny else (128, 224, 1000)
        network: Any = resnet50(4, (1, 1), classes) if place.tiny else resnet50()
        self.network = network.to(place.device).to(memory_format=_FORMATS[order])
        self.x = torch.randn(batch, 3, size, size, device=place.device).contiguous(
            memory_format=_FORMATS[order]
        )
        self.report = ""
        self.labels = torch.randint(classes, (batch,), device=place.device)

    def eager(self) -> nn.Module:
        """Return a copy of the network."""
        return copy.deepcopy(self.network)

    def accelerated(self) -> nn.Module:
        """Return a copy with our layers, and keep the last line of the report on it."""
        model, report = normwise.accelerate(self.eager(), self.x[:8])
        self.report = str(report).splitlines()[-1]
        return model

    def step(self, model: nn.Module, forward: Callable[[Tensor], Tensor] | None = None) -> Step:
        """Return one step of training, which returns the loss."""
        optimiser = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
        call = model if forward is None else forward

        def step() -> Tensor:
            # A graph would keep the weights that autocast has cached.
            with torch.autocast(self.place.kind, torch.bfloat16, cache_enabled=False):
                loss = F.cross_entropy(call(self.x), self.labels)
            loss.backward()
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)
            return loss.detach()

        return step


def measure_steps(place: Place) -> Iterator[dict[str, Any]]:
    """Yield rows: the step of ResNet-50 eager and accelerated, called from Python and as a CUDA graph."""
    if place.on_gpu:
        torch.backends.cudnn.benchmark = True
    for order in _FORMATS:
        if not place.has(25):
            yield {"step": order, "error": "no time was left"}
            continue
        steps = _Steps(place, order)
        pair = [steps.step(steps.eager()), steps.step(steps.accelerated())]
        losses = [_loss(step) for step in pair]
        yield {"accelerated": order, "report": steps.report}
        yield from _compared(place, f"{order} eager over accelerated", pair, losses)
        del pair, steps
        place.release()


def measure_compiled_steps(place: Place) -> Iterator[dict[str, Any]]:
    """Yield rows: the step of torch.compile alone against ``backend="normwise"``, and against accelerate compiled."""
    if place.on_gpu:
        torch.backends.cudnn.benchmark = True
    if not place.has(45):
        yield {"step": "NHWC compile over normwise backend", "error": "no time was left"}
        return
    steps = _Steps(place, "NHWC")
    compiled, compile_seconds = _compiled(steps, steps.eager(), None)
    # Before it has been trained by being measured.
    loss = _loss(compiled)
    yield {"compile_seconds": compile_seconds, "of": "torch.compile"}
    for name in ("normwise backend", "accelerate compiled"):
        title = f"NHWC compile over {name}"
        if not place.has(30):
            yield {"step": title, "error": "no time was left"}
            continue
        try:
            ours, ours_seconds = (
                _compiled(steps, steps.accelerated(), None)
                if name == "accelerate compiled"
                else _compiled(steps, steps.eager(), "normwise")
            )
        except Exception as wrong:
            if "CUDA error" in str(wrong):
                raise
            yield {"step": title, "error": f"{type(wrong).__name__}: {str(wrong)[:300]}"}
            continue
        yield {"compile_seconds": ours_seconds, "of": name}
        yield from _compared(place, title, [compiled, ours], [loss, _loss(ours)])
        place.release()


def compile_ahead(place: Place) -> Iterator[dict[str, Any]]:
    """Compile the steps once, so that their kernels lie in Inductor's cache when they are measured."""
    number, _ = place.part
    steps = _Steps(place, "NHWC")
    backend = (None, "normwise")[number]
    _, seconds = _compiled(steps, steps.eager(), backend)
    yield {"compile_seconds": seconds, "of": f"{backend or 'torch.compile'}, ahead of the measurement"}


def _compiled(steps: _Steps, model: nn.Module, backend: str | None) -> tuple[Step, float]:
    """Return a step of a compiled model that has been called twice, and the seconds of these calls."""
    begun = time.perf_counter()
    options: dict[str, Any] = {}
    if backend is not None:
        options["backend"] = _our_backend()
        if not steps.place.on_gpu:
            # A dry run needs no compiler.
            options["options"] = {"rest": "eager"}
    elif not steps.place.on_gpu:
        options["backend"] = "eager"
    step = steps.step(model, torch.compile(model, dynamic=False, **options))
    for _ in range(2):
        step()
    steps.place.wait()
    return step, time.perf_counter() - begun


def _our_backend() -> Any:
    """Return the backend "normwise": by name where normwise is installed, else as pyproject.toml says."""
    if "normwise" in torch._dynamo.list_backends(exclude_tags=()):
        return "normwise"
    tomllib = import_module("tomllib")  # from Python 3.11 on
    project = tomllib.loads(
        (Path(__file__).resolve().parents[3] / "pyproject.toml").read_text(encoding="utf-8")
    )
    module, _, name = project["project"]["entry-points"][_ENTRY_POINTS]["normwise"].partition(":")
    return getattr(import_module(module), name)


def _loss(step: Step) -> float:
    """Return the mean loss of three steps: the same but for rounding where two train the same."""
    return sum(float(step()) for _ in range(3)) / 3


def _compared(place: Place, title: str, pair: list[Step], losses: list[float]) -> Iterator[dict[str, Any]]:
    """Yield whether two steps train the same, and their ratio called from Python and as CUDA graphs."""
    theirs, ours = losses
    yield {
        "check": f"losses of {title}",
        "ok": abs(theirs - ours) <= 0.02 * abs(theirs),
        "detail": f"{theirs:.4f} and {ours:.4f}, means of three steps",
    }
    for how in ("called", "graph"):
        row: dict[str, Any] = {"step": title, "how": how}
        try:
            calls: list[Any] = pair
            if how == "graph" and place.on_gpu:
                calls = [graphed(step) for step in pair]
            columns = place.called(calls)
            ratios = [a / b for a, b in zip(*columns, strict=True)]
            tenths = quantiles(ratios, n=10)
            row |= {
                "ms": [1e3 * median(column) for column in columns],
                "ratio": median(ratios),
                "low": tenths[0],
                "high": tenths[-1],
            }
        except Exception as wrong:
            if "CUDA error" in str(wrong):
                raise
            row["error"] = f"{type(wrong).__name__}: {str(wrong)[:300]}"
        yield row

"""The Triton kernels for GPUs as a backend."""

import os
import warnings
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import cache
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from normwise.activations import ACTIVATIONS
from normwise.errors import ArgumentError, BatchNormWarning
from normwise.kernels.backward_call import BackwardCall, Gradients
from normwise.kernels.call import Call
from normwise.kernels.coverage import Coverage, Layout
from normwise.kernels.triton.keys import backward_key, forward_key

#: Positions of a plane, or of all planes with the channels last, are counted in 32 bits.
_MOST_POSITIONS = 2**30
#: A grid has 65,535 tiles of 128 channels at most.
_MOST_CHANNELS = 65535 * 128
#: Plans that are kept: batches of ragged lengths have one each.
_MOST_PLANS = 4096
#: ``NORMWISE_KERNELS`` turns the kernels off by this word.
_OFF = "torch"


class TritonBackend:
    """float32, bfloat16 and float16 on a CUDA device; see :mod:`normwise.kernels.backend`.

    Triton is imported when the first CUDA tensor asks for it.

    Args:
        device: ``"cuda"``; tests that interpret the kernels say ``"cpu"``.
    """

    dispatch_key = "CUDA"
    input_types = (torch.float32, torch.bfloat16, torch.float16)

    def __init__(self, device: str = "cuda") -> None:
        self._device = device
        self._coverage = Coverage(
            device,
            {torch.float32: 4, torch.bfloat16: 2, torch.float16: 2},
            frozenset([None, *ACTIVATIONS]),
        )
        #: The reason that was told to the user.
        self._failure = ""
        #: Whether no kernel can be had at all.
        self._refused = False
        #: Numbers of devices for which a plan was compiled, and for which none can be.
        self._served: set[int] = set()
        self._lost: set[int] = set()
        # The module that imports Triton.
        self._plans: Any = None
        self._known: dict[Any, Any] = {}

    @property
    def name(self) -> str:
        """The compiler's name."""
        return "triton"

    @property
    def description(self) -> str:
        """The compiler and its release."""
        try:
            return f"Triton {version('triton')}"
        except PackageNotFoundError:
            return "Triton"

    @property
    def available(self) -> bool:
        """True where there is a CUDA device and Triton, and they were not turned off."""
        return not self.reason

    @property
    def reason(self) -> str:
        """The reason why there are no kernels, or none are used."""
        if os.environ.get("NORMWISE_KERNELS") == _OFF:
            return f"turned off by NORMWISE_KERNELS={_OFF}"
        if self._device == "cuda" and not torch.cuda.is_available():
            return "no CUDA device"
        if self._device == "cuda" and torch.version.hip is not None:
            return "not tested on ROCm"
        if find_spec("triton") is None:
            return "Triton is not installed"
        return self._failure if self._refused or self._lost else ""

    @property
    def files(self) -> Sequence[Path]:
        """Nothing: the kernels are Python sources of normwise."""
        return ()

    def covers(self, call: Call) -> bool:
        """Return whether the kernels can compute the call; then its layout is its plan, which is compiled."""
        x = call.x
        # Asked before the tensors are, of which some may be copied into another order.
        if not self._coverage.on_device(x) or isinstance(call.momentum, Tensor) or not self.usable():
            return False
        device = x.get_device()
        if device in self._lost or not self._coverage.covers(call) or not _within_limits(call.layout):
            return False
        plan = self._plan(forward_key(call, device, _multiprocessors(device)), self._plans.ForwardPlan)
        if plan is None:
            return False
        call.layout = plan
        return True

    def covers_backward(self, call: BackwardCall) -> bool:
        """Return whether the kernels can compute the backward pass; then its layout is its plan."""
        x = call.x
        if not self._coverage.on_device(x) or not self.usable():
            return False
        device = x.get_device()
        if (
            device in self._lost
            or call.saved.get_device() != device
            or not self._coverage.covers_backward(call)
            or not _within_limits(call.layout)
        ):
            return False
        plan = self._plan(backward_key(call, device, _multiprocessors(device)), self._plans.BackwardPlan)
        if plan is None:
            return False
        call.layout = plan
        return True

    def covers_types(self, call: Call) -> bool:
        """Return whether types and devices of a call are covered, and parameters and statistics are contiguous."""
        return self._coverage.covers_types(call) and _usable_while_tracing(self)

    def forward(self, call: Call, batch: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Compute the output and the saved statistics, and move the running ones."""
        plan = call.layout
        if _is_current(plan.device):
            return plan.run(call, batch)
        with torch.cuda.device(plan.device):
            return plan.run(call, batch)

    def backward(self, call: BackwardCall) -> Gradients:
        """Compute the gradients."""
        plan = call.layout
        if _is_current(plan.device):
            return plan.run(call)
        with torch.cuda.device(plan.device):
            return plan.run(call)

    def moments(self, call: Call) -> tuple[int, Tensor, Tensor]:
        """Return the real positions, and per channel, in float64, the mean and the sum of squared deviations."""
        plan = call.layout
        with _current(plan.device):
            return plan.moments(call)

    def statistics(self, saved: Tensor) -> Tensor:
        """Return the saved statistics, which are a tensor on the device."""
        return saved

    def saved(self, statistics: Tensor) -> Tensor:
        """Return the statistics in one piece of memory."""
        return statistics.contiguous()

    def usable(self) -> bool:
        """Return whether the kernels can be imported; the first time that they can't, say why."""
        if self._plans is None and not self._refused:
            # Asked once: to look for a package that is not there takes longer than a small call.
            self._refused = not self.available
            if not self._refused:
                try:
                    self._plans = import_module("normwise.kernels.triton.plans")
                except Exception as error:
                    self._refused = True
                    self._fail(f"Triton can't be imported: {error}")
        return not self._refused

    def _plan(self, key: Any, build: Callable[[Any], Any]) -> Any:
        """Return the plan of a key, which is compiled the first time; None where that failed."""
        try:
            return self._known[key]
        except KeyError:
            pass
        plan, device = None, key.device
        try:
            with _current(device):
                plan = build(key)
        except Exception as error:
            if _is_capturing(device):
                raise ArgumentError(
                    "normwise's kernels for these shapes are not compiled yet, and can't be loaded while a CUDA graph "
                    "is captured; run one step of the same shapes and settings before, as torch.cuda.graph asks for"
                ) from error
            # Where nothing was compiled before, nothing will be.
            if device not in self._served:
                self._lost.add(device)
            what = "any call" if device in self._lost else "calls like this one"
            self._fail(f"Triton can't compile them: {error}", what)
        else:
            self._served.add(device)
        if len(self._known) >= _MOST_PLANS:
            # The kernels themselves are few, and stay compiled.
            self._known.clear()
        self._known[key] = plan
        return plan

    def _fail(self, failure: str, what: str = "any call") -> None:
        """Say why torch's operators compute, once."""
        if self._failure:
            return
        self._failure = failure
        warnings.warn(
            f"normwise's kernels for the GPU are not used for {what}, and torch's operators compute instead: "
            f"{failure}. NORMWISE_KERNELS=torch asks for that without this warning",
            BatchNormWarning,
            stacklevel=2,
        )


def _usable_while_tracing(backend: TritonBackend) -> bool:
    """Return whether the kernels can be imported; a compiler that traces the question gets the answer alone."""
    return backend.usable()


# As torch.compiler.assume_constant_result does, which imports all of torch's compiler first.
_usable_while_tracing._dynamo_marked_constant = True  # pyright: ignore[reportFunctionMemberAccess]


def _within_limits(layout: Layout) -> bool:
    """Return whether what the kernels count in 32 bits, and their grids, are large enough."""
    n, c, s, last = layout
    return c <= _MOST_CHANNELS and s < _MOST_POSITIONS and n * s < (_MOST_POSITIONS if last else 2**31)


@cache
def _multiprocessors(device: int) -> int:
    # Interpreted kernels have no device.
    return 2 if device < 0 else torch.cuda.get_device_properties(device).multi_processor_count


def _is_capturing(device: int) -> bool:
    return device >= 0 and torch.cuda.is_current_stream_capturing()


def _is_current(device: int) -> bool:
    return device < 0 or device == torch.cuda.current_device()


def _current(device: int) -> AbstractContextManager[Any]:
    """Make a device the current one, for which kernels are compiled, and on which they are launched."""
    return nullcontext() if _is_current(device) else torch.cuda.device(device)

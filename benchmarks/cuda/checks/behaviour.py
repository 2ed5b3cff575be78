"""Expectations of a program beside the right values, on any device; the rest is in ``device_use.py``."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from benchmarks.cuda.checks.device_use import (
    check_devices,
    check_graph,
    check_no_memory,
    check_no_waiting,
    check_streams,
)
from benchmarks.cuda.checks.work import CASES, NotCheckedError, Work, expect_equal
from benchmarks.cuda.place import Place
from normwise import nn


def check_behaviour(place: Place) -> Iterator[dict[str, Any]]:
    """Yield a row for each check; ``ok`` is None where the device can't be put to it."""
    for check in (
        _same_bits,
        check_graph,
        check_streams,
        check_devices,
        check_no_waiting,
        check_no_memory,
        _empty_batches,
        _one_position,
        _autocast,
        _compiled,
        _turned_off,
    ):
        name = str(check.__doc__).splitlines()[0].rstrip(".")
        row: dict[str, Any] = {"check": name, "ok": True, "detail": ""}
        try:
            row["detail"] = check(place) or ""
        except NotCheckedError as reason:
            row |= {"ok": None, "detail": f"not checked: {reason}"}
        except Exception as wrong:
            row |= {"ok": False, "detail": f"{type(wrong).__name__}: {str(wrong)[:500]}"}
            if "CUDA error" in str(wrong):
                yield row
                raise
        yield row


def _same_bits(place: Place) -> None:
    """Check for the same bits from run to run."""
    for case in CASES:
        work = Work(place, *case)
        first = work.again()
        for _ in range(5):
            expect_equal(work.again(), first, f"a repetition of {case}")


def _empty_batches(place: Place) -> None:
    """Empty batches, in training and evaluation."""
    for shape in ((0, 8, 4, 4), (0, 8), (3, 8, 0, 4)):
        for training in (True, False):
            for dtype in (torch.float32, torch.bfloat16):
                kind = nn.BatchNorm1d if len(shape) == 2 else nn.BatchNorm2d
                layer = kind(8, activation="relu", device=place.device).train(training)
                before = {name: buffer.clone() for name, buffer in layer.named_buffers()}
                x = torch.randn(shape, device=place.device, dtype=dtype, requires_grad=True)
                y = layer(x)
                y.sum().backward()
                if y.shape != x.shape or x.grad is None or x.grad.shape != x.shape or y.dtype is not dtype:
                    raise AssertionError(f"{shape} gave {tuple(y.shape)} {y.dtype}")
                for name, parameter in layer.named_parameters():
                    if parameter.grad is None or bool(parameter.grad.count_nonzero()):
                        raise AssertionError(
                            f"the gradient of {name} of {shape} is {parameter.grad}; expected zeros"
                        )
                for name, buffer in layer.named_buffers():
                    if not torch.equal(buffer, before[name]):
                        raise AssertionError(f"{name} moved by an empty batch {shape}")


def _one_position(place: Place) -> None:
    """One real position: the statistics stay, and it becomes the bias."""
    layer = nn.BatchNorm2d(8, device=place.device)
    x = torch.randn(2, 8, 3, 3, device=place.device)
    mask = torch.zeros(2, 3, 3, dtype=torch.bool, device=place.device)
    mask[1, 2, 0] = True
    y = layer(x, mask=mask)
    buffers = dict(layer.named_buffers())
    if bool(y.count_nonzero()) or bool(buffers["running_mean"].count_nonzero()):
        raise AssertionError("the output or the running mean of one position is not 0")
    if not bool((buffers["running_var"] == 1).all()) or int(buffers["num_batches_tracked"]) != 0:
        raise AssertionError("one position moved the running variance or was counted")


def _autocast(place: Place) -> None:
    """Autocast: the type that torch's own layer gives, and its values."""
    torch.manual_seed(0)
    convolution = torch.nn.Conv2d(3, 16, 3, bias=False).to(place.device)
    theirs, ours = (
        torch.nn.BatchNorm2d(16).to(place.device),
        nn.BatchNorm2d(16, activation="relu").to(place.device),
    )
    x = torch.randn(8, 3, 20, 20, device=place.device)
    with torch.autocast(place.kind, torch.bfloat16):
        between = convolution(x)
        expected, got = F.relu(theirs(between)), ours(between)
    if got.dtype is not expected.dtype:
        raise AssertionError(f"the output is {got.dtype}; torch's is {expected.dtype}")
    torch.testing.assert_close(got, expected, rtol=2e-2, atol=2e-2)


def _compiled(place: Place) -> None:
    """Check the operator in a graph of torch.compile (aot_eager)."""
    for case in CASES:
        work = Work(place, *case)
        expected = work.again()
        compiled: Callable[..., Tensor] = torch.compile(work.layer, backend="aot_eager", dynamic=False)
        work.layer.reset_running_stats()
        y = compiled(work.x, residual=work.added)
        got = [y.detach(), *torch.autograd.grad(y, work.leaves, work.grad)]
        for one, other in zip(got, expected, strict=False):
            torch.testing.assert_close(one, other, rtol=2e-2, atol=2e-2)
        torch.testing.assert_close(list(work.layer.buffers()), expected[-3:], rtol=1e-5, atol=1e-5)


def _turned_off(place: Place) -> str:
    """NORMWISE_KERNELS=torch leaves all to torch's operators."""
    done = subprocess.run(
        [sys.executable, "-c", "from normwise import kernels; print(kernels.in_use())"],
        env=os.environ | {"NORMWISE_KERNELS": "torch", "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    said = done.stdout.strip()
    if any(
        not part.split(": ", 1)[1].startswith("torch's operators")
        for part in said.split("; ")
        if ": " in part
    ):
        raise AssertionError(f"in use is {said}")
    return said

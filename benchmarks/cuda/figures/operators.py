"""BN with what stands behind it: ours against torch's layers, and against torch.compile of the same; the host's time;
memory kept for the backward pass."""

from collections.abc import Iterator
from functools import partial
from statistics import geometric_mean, median
from typing import Any

import torch
from torch.nn import functional as F

from benchmarks.cuda.place import Place
from normwise import nn
from normwise.benchmark.bandwidth import bandwidth, gpu_bandwidth
from normwise.benchmark.cases import GPU_IMAGES, GPU_MATRICES, Case, Work, contestants, layers
from normwise.benchmark.run import compare
from normwise.records import Bandwidth, to_plain

_TINY_IMAGES = ((4, 8, 6, 6), (2, 16, 3, 3))
#: Work, type and order of each group of cases, the ones that the figures to reach name first.
GROUPS: tuple[tuple[Work, torch.dtype, str], ...] = (
    ("relu", torch.bfloat16, "NHWC"),
    ("relu", torch.bfloat16, "NCHW"),
    ("relu", torch.bfloat16, "(N, C)"),
    ("add_relu", torch.bfloat16, "NHWC"),
    ("add_relu", torch.bfloat16, "NCHW"),
    ("relu", torch.float32, "NHWC"),
    ("relu", torch.float32, "NCHW"),
    ("relu", torch.float32, "(N, C)"),
)
#: Images that are compared with torch.compile, each of which takes some seconds to compile.
_COMPILED = (GPU_IMAGES[0], GPU_IMAGES[2], GPU_IMAGES[4], GPU_IMAGES[6])


def group_name(work: Work, dtype: torch.dtype, order: str) -> str:
    """Return a group's name in the rows and the table."""
    return f"{work} {str(dtype).removeprefix('torch.')} {order}"


def measure_operators(place: Place) -> Iterator[dict[str, Any]]:
    """Yield a row for each case: times on the GPU alone, ratio to torch's eager layers, share of the limit."""
    found = _bandwidths(place)
    yield {"bandwidth": to_plain(found)}
    for work, dtype, order in GROUPS:
        for shape in _shapes(place, order):
            case = Case(work, shape, order == "NHWC", dtype, place.device)
            row: dict[str, Any] = {
                "group": group_name(work, dtype, order),
                "shape": list(shape),
                "megabytes": case.bytes / 1e6,
            }
            if not place.has(5):
                yield row | {"error": "no time was left"}
                continue
            yield row | _attempt(lambda case=case: to_plain(compare(case, [found], host=False)))
            place.release()


def measure_host(place: Place) -> Iterator[dict[str, Any]]:
    """Yield a row: microseconds that a call of (60, 100) takes the host, with the backward pass and without."""
    for dtype in (torch.float32, torch.bfloat16):
        for title, case in (
            ("forward and backward", Case("relu", (60, 100), False, dtype, place.device)),
            ("evaluation", Case("eval_relu", (60, 100), False, dtype, place.device)),
        ):
            theirs, ours = contestants(case)
            columns = place.host([*theirs, ours])
            micro = [1e6 * median(column) for column in columns]
            yield {
                "host": f"{title}, {str(dtype).removeprefix('torch.')}",
                "torch_us": min(micro[:-1]),
                "ours_us": micro[-1],
                "ratio": min(micro[:-1]) / micro[-1],
            }


def measure_memory(place: Place) -> Iterator[dict[str, Any]]:
    """Yield a row: bytes that BN and leaky ReLU keep for the backward pass, torch's and ours with ``inplace=True``.

    The input is made by what stands before, which needs it no longer: it is counted where it is kept.
    """
    shape = (4, 8, 6, 6) if place.tiny else (64, 64, 56, 56)
    source = Case("plain", shape, True, torch.bfloat16, place.device).tensor().requires_grad_()
    theirs = torch.nn.BatchNorm2d(shape[1]).to(place.device)
    ours = nn.BatchNorm2d(shape[1], activation="leaky_relu", inplace=True, device=place.device)

    def kept(forward: Any) -> int:
        forward(source * 1)
        place.wait()
        before = place.allocated()
        y = forward(source * 1)
        place.wait()
        after = place.allocated()
        del y
        return after - before

    eager = min(
        kept(lambda x: F.leaky_relu(theirs(x), inplace=True)), kept(lambda x: F.leaky_relu(theirs(x)))
    )
    mine = kept(ours)
    yield {
        "memory": "BN and leaky ReLU, inplace=True",
        "input_bytes": source.nbytes,
        "torch_bytes": eager,
        "ours_bytes": mine,
        "share": mine / eager if eager else float("nan"),
    }


def measure_against_compile(place: Place) -> Iterator[dict[str, Any]]:
    """Yield a row for each shape: torch.compile of torch's BN and ReLU against ours called eagerly, GPU alone."""
    for shape in _TINY_IMAGES[:1] if place.tiny else _COMPILED:
        case = Case("relu", shape, True, torch.bfloat16, place.device)
        row: dict[str, Any] = {"compile": "relu bfloat16 NHWC", "shape": list(shape)}
        if not place.has(15):
            yield row | {"error": "no time was left"}
            continue
        yield row | _attempt(partial(_against_compile, place, case))
        place.release()


def _against_compile(place: Place, case: Case) -> dict[str, Any]:
    torch.compiler.reset()
    layer, _ = layers(case)
    _, ours = contestants(case)
    x, grad = case.tensor().requires_grad_(), case.tensor()
    # A dry run needs no compiler.
    backend = "inductor" if place.on_gpu else "eager"
    compiled: Any = torch.compile(lambda t: F.relu(layer(t)), dynamic=False, backend=backend)
    kept = [x, *layer.parameters()]

    def theirs() -> None:
        compiled(x).backward(grad)
        for tensor in kept:
            tensor.grad = None

    compile_ms, ours_ms = (1e3 * median(column) for column in place.gpu_alone([theirs, ours]))
    return {"compile_ms": compile_ms, "ours_ms": ours_ms, "ratio": compile_ms / ours_ms}


def mean_ratio(rows: list[dict[str, Any]]) -> tuple[float, float, int]:
    """Return the geometric mean and the least of the rows' ratios, and how many rows have one."""
    ratios = [row["ratio"] for row in rows if row.get("ratio")]
    return (geometric_mean(ratios), min(ratios), len(ratios)) if ratios else (float("nan"), float("nan"), 0)


def _attempt(measure: Any) -> dict[str, Any]:
    """Return what was measured, or the error; one of the device itself is raised."""
    try:
        return measure()
    except Exception as wrong:
        if "CUDA error" in str(wrong):
            raise
        return {"error": f"{type(wrong).__name__}: {str(wrong)[:300]}"}


def _bandwidths(place: Place) -> Bandwidth:
    return gpu_bandwidth(place.device) if place.on_gpu else bandwidth(1 << 16)


def _shapes(place: Place, order: str) -> tuple[tuple[int, ...], ...]:
    if place.tiny:
        return ((16, 8),) if order == "(N, C)" else _TINY_IMAGES[:1]
    return GPU_MATRICES if order == "(N, C)" else GPU_IMAGES

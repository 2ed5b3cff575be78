"""Time and error of ``normwise.calibrate``, torch's ``update_bn`` and fvcore's precise BN.

Run: python benchmarks/operations/calibrate.py

A ResNet-8 with torch's layers sees 6 batches, 5 of 32 images of 64×64 and a last one of 1, sorted by class, each
class around a mean of its own. All run in turn in one process; a figure is the median of 15 turns with the lowest and
the highest, and a ratio that of a turn. The bound is a bare evaluation pass with one read (a sum) of each BN layer's
input. The error is the largest of all layers and channels against a float64 computation over the concatenated inputs
of each layer: of means in standard deviations, of variances relative to them. The last line is by how much the
process's peak of memory grew when 300 batches were read instead of 30. fvcore is installed, pinned, below build/peers;
it wants to be told how many batches there are.
"""

import copy
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import update_bn

import normwise
from normwise.models import build

FVCORE = [
    "fvcore==0.1.5.post20221221", "iopath==0.1.10", "yacs==0.1.8", "portalocker==4.4.2", "tabulate==0.9.0",
    "termcolor==3.3.0", "tqdm==4.70.1", "pyyaml==6.0.4",
]  # fmt: skip
REPETITIONS = 15

Statistics = dict[str, tuple[Tensor, Tensor]]


def network() -> nn.Module:
    """Return the untrained network, with its initial statistics."""
    torch.manual_seed(0)
    return build(
        "resnet", (3, 64, 64), 10, norm=lambda c, n: nn.BatchNorm2d(c) if n else nn.BatchNorm1d(c), depth=8
    ).train()


def images() -> list[Tensor]:
    """Batches, sorted by class."""
    torch.manual_seed(1)
    return [2 * torch.randn(3, 1, 1) + torch.randn(n, 3, 64, 64) for n in [32] * 5 + [1]]


def layers_of(model: nn.Module) -> dict[str, nn.BatchNorm2d]:
    """Its BN layers by path."""
    return {path: layer for path, layer in model.named_modules() if isinstance(layer, nn.BatchNorm2d)}


@torch.no_grad()
def evaluate(model: nn.Module, batches: list[Tensor]) -> None:
    """Make a bare forward pass."""
    model.eval()
    for batch in batches:
        model(batch)


def evaluate_and_read(model: nn.Module, batches: list[Tensor]) -> None:
    """Compute the lower bound."""
    hooks = [
        layer.register_forward_pre_hook(lambda _, inputs: inputs[0].sum() and None)
        for layer in layers_of(model).values()
    ]
    evaluate(model, batches)
    for hook in hooks:
        hook.remove()


def fvcore(model: nn.Module, batches: list[Tensor]) -> None:
    """Precise BN."""
    from fvcore.nn.precise_bn import update_bn_stats

    update_bn_stats(model, batches, num_iters=len(batches))


def statistics_of(model: nn.Module) -> Statistics:
    """Return the running statistics of the layers."""
    return {
        path: (layer.running_mean.double(), layer.running_var.double())  # pyright: ignore[reportOptionalMemberAccess]
        for path, layer in layers_of(model).items()
    }


@torch.no_grad()
def oracle(model: nn.Module, batches: list[Tensor], *, by_batch: bool) -> Statistics:
    """In float64, by the definition: each layer's inputs are kept and concatenated; one layer after the other."""
    model = copy.deepcopy(model).double().eval()
    layers = layers_of(model)
    seen: dict[str, list[Tensor]] = {}
    for path, layer in layers.items():
        layer.register_forward_pre_hook(lambda _, inputs, at=path: seen.setdefault(at, []).append(inputs[0]))
        if by_batch:
            # Its own statistics normalise a batch; there are enough of values, of one image, too.
            layer.train().momentum = 1.0
    found: Statistics = {}
    for path, layer in layers.items():
        seen.clear()
        for batch in batches:
            model(batch.double())
        for name in layers if by_batch else [path]:
            values = torch.cat(seen[name]).movedim(1, 0).flatten(1)
            found[name] = values.mean(1), values.var(1)
        if by_batch:
            break
        layer.running_mean, layer.running_var = found[path]
    return found


def error(got: Statistics, expected: Statistics) -> float:
    """Return the largest difference, of means in deviations and of variances relative to them."""
    return max(
        max(
            ((got[path][0] - mean).abs() / variance.sqrt()).max().item(),
            ((got[path][1] - variance).abs() / variance).max().item(),
        )
        for path, (mean, variance) in expected.items()
    )


def growth() -> float:
    """Mebibytes that ten times as many batches take."""
    model = network()

    def most(count: int) -> float:
        normwise.calibrate(model, (torch.randn(8, 3, 64, 64) for _ in range(count)), order="training")
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

    few = most(30)
    return most(300) - few


def main() -> None:
    """Print a line a contestant, and one about memory."""
    folder = Path(__file__).parents[2] / "build" / "peers" / "fvcore"
    if not (folder / "fvcore").exists():
        subprocess.run(
            [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", folder, *FVCORE],
            check=True,
        )
    sys.path.append(str(folder))
    model, batches = network(), images()
    passes = normwise.calibrate(copy.deepcopy(model), batches).passes
    contestants: dict[str, tuple[Callable[[nn.Module, list[Tensor]], object], bool | None]] = {
        "evaluation pass": (evaluate, None),
        "evaluation pass and a read": (evaluate_and_read, None),
        'calibrate(order="training")': (lambda m, b: normwise.calibrate(m, b, order="training"), True),
        f"calibrate(): {passes} passes": (normwise.calibrate, False),
        "update_bn": (lambda m, b: update_bn(b, m), True),
        "fvcore's precise BN": (fvcore, True),
    }
    expected = {by_batch: oracle(model, batches, by_batch=by_batch) for by_batch in (True, False)}
    times: dict[str, list[float]] = {name: [] for name in contestants}
    errors: dict[str, float] = {}
    for turn in range(REPETITIONS + 1):
        for name, (run, by_batch) in contestants.items():
            own = copy.deepcopy(model)
            begun = time.perf_counter()
            run(own, batches)
            if turn:
                times[name].append(time.perf_counter() - begun)
            if by_batch is not None:
                errors[name] = error(statistics_of(own), expected[by_batch])
    bound = times["evaluation pass and a read"]
    print(f"{torch.get_num_threads()} threads, {len(batches)} batches, {len(layers_of(model))} BN layers")
    print(f"{'':>30}  {'ms':>6}  ratio to a pass and a read  largest error")
    for name in contestants:
        ratios = sorted(own / other for own, other in zip(times[name], bound, strict=True))
        middle, spread = statistics.median(ratios), f"[{ratios[0]:.2f}, {ratios[-1]:.2f}]"
        shown = f"{errors[name]:.1e}" if name in errors else "–"
        ms = 1e3 * statistics.median(times[name])
        print(f"{name:>30}  {ms:6.0f}  {middle:10.2f} {spread:15}  {shown:>13}")
    print(f"memory of ten times as many batches: {growth():.1f} MiB more")


if __name__ == "__main__":
    main()

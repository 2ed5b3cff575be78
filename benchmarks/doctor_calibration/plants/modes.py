"""Faults of modes: BN3xx."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.doctor_calibration.plants.plant import FEED_FORWARD, Plants, norms
from benchmarks.doctor_calibration.recipes import Recipe
from benchmarks.doctor_calibration.trained import Trained
from normwise.doctor import Case

plants = Plants()
_LOSS = nn.CrossEntropyLoss()


def _always_training(norm: nn.Module) -> None:
    kind = type(norm)

    def train(self: Any, mode: bool = True) -> Any:
        return kind.train(self, True)

    norm.__class__ = type(kind.__name__, (kind,), {"train": train, "__module__": kind.__module__})
    norm.train()


@plants.add("BN301", "layers that eval() leaves in training:", {"one": 1, "all": None})
def stuck(base: Trained, count: int | None) -> Case:
    """Override train() of BN layers."""
    model = base.model()
    for norm in list(norms(model).values())[:count]:
        _always_training(norm)
    return Case(model.eval(), base.test(), _LOSS)


@plants.add("BN301", "model in training mode, evaluated", models=6)
def never_evaluated(base: Trained) -> Case:
    """Give the model in training mode."""
    return Case(base.model().train(), [x for x, _ in base.test()])


def _several(recipe: Recipe) -> bool:
    return recipe.kind not in ("lstm", "bn-lstm")


@plants.add("BN302", "one layer in training mode, the others not", models=6, suits=_several)
def one_in_training(base: Trained) -> Case:
    """Set the mode of one layer."""
    model = base.model()
    next(iter(norms(model).values())).train()
    return Case(model, base.test(), _LOSS)


@plants.add("BN302", "one layer in evaluation, the others in training", models=6, suits=_several)
def one_in_evaluation(base: Trained) -> Case:
    """Set the mode of one layer while training."""
    model = base.model().train()
    next(iter(norms(model).values())).eval()
    return Case(model, base.loader(), _LOSS, base.optimizer(model))


@plants.add("BN303", "frozen", {"all but the head": False, "BN alone": True}, models=5)
def frozen(base: Trained, norms_only: bool) -> Case:
    """Take gradients away, and leave the statistics to move."""
    model = base.model().train()
    for path, module in model.named_modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm) or (not norms_only and path != "head"):
            for parameter in module.parameters(recurse=False):
                parameter.requires_grad_(False)
    learning = [parameter for parameter in model.parameters() if parameter.requires_grad]
    return Case(model, base.loader(), _LOSS, torch.optim.SGD(learning, 0.01))


@plants.add("BN304", "no running statistics", {"as built": None, "flag off": False}, models=5)
def untracked(base: Trained, flag: bool | None) -> Case:
    """Normalise by the batch in evaluation, too; or believe that the flag does that."""
    model = base.model()
    for norm in norms(model).values():
        norm.track_running_stats = False
        if flag is None:
            norm.running_mean = norm.running_var = norm.num_batches_tracked = None
    return Case(model, base.test(), _LOSS)


class _Domains:
    """Batches that are each of one source, whose inputs have a scale and an offset of their own."""

    def __init__(self, base: Trained, spread: float) -> None:
        generator = torch.Generator().manual_seed(0)
        self.batches: list[tuple[Tensor, Tensor]] = []
        for number, (x, y) in enumerate(base.batches(60)):
            scale, offset = torch.randn(2, generator=generator).tolist()
            sign = 1.0 if number % 2 else 1.5
            self.batches.append((sign * x * 10 ** (spread * scale) + spread * offset, y))


@plants.add(
    "BN305",
    "a source a batch",
    {"of very different scales": 1.0, "of different scales": 0.6},
    on=FEED_FORWARD,
    models=6,
)
def sources(base: Trained, spread: float) -> Case:
    """Train on batches that are each of another source."""
    model = base.model()
    batches = _Domains(base, spread).batches
    base.learn(model, 120, batches)  # type: ignore[arg-type]
    return Case(model, batches, _LOSS)


class _Functional(nn.Module):
    """BN by a function that is told to train."""

    def __init__(self, norm: nn.modules.batchnorm._BatchNorm) -> None:
        super().__init__()
        self.weight, self.bias = norm.weight, norm.bias
        self.register_buffer("mean", norm.running_mean)
        self.register_buffer("variance", norm.running_var)

    def forward(self, x: Tensor) -> Tensor:
        mean, variance = self.get_buffer("mean"), self.get_buffer("variance")
        return F.batch_norm(x, mean, variance, self.weight, self.bias, training=True)


@plants.add("BN306", "F.batch_norm(training=True) in place of a layer", models=7, suits=_several)
def functional(base: Trained) -> Case:
    """Replace the last layer."""
    model = base.model()
    *_, (path, norm) = norms(model).items()
    model.set_submodule(path, _Functional(norm))
    return Case(model, base.test(), _LOSS)

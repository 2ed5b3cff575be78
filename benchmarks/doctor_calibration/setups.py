"""Set-ups that users suffer from, on real data, which the doctor heals."""

import copy
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import nn
from torch.nn.utils import prune
from torch.optim.swa_utils import AveragedModel
from torch.utils.data import DataLoader, TensorDataset

from benchmarks.doctor_calibration.plants.plant import norms
from benchmarks.doctor_calibration.plants.statistics import moving_average
from benchmarks.doctor_calibration.recipes import Recipe
from benchmarks.doctor_calibration.trained import Trained, trained

_DENSE = Recipe("dense", batch=32, epochs=5, width=48)
_CNN = Recipe("cnn", batch=32, epochs=5, depth=3, width=16)
_RESNET = Recipe("resnet", batch=32, epochs=5, depth=3, width=8)
_LSTM = Recipe("lstm", batch=32, epochs=15, width=32, optimizer="adam")


@dataclass(frozen=True)
class Setup:
    """A set-up.

    Attributes:
        words: Words of the users, or what they do.
        seen: Where users report it.
        recipe: Model that it starts from.
        make: Makes the sick model.
        evaluates: Whether the user puts the model into evaluation.
    """

    words: str
    seen: str
    recipe: Recipe
    make: Callable[[Trained], nn.Module]
    evaluates: bool = True


def _slow(base: Trained) -> nn.Module:
    slow = replace(base.recipe, momentum=0.001)
    return trained(slow).model()


def _fast(base: Trained) -> nn.Module:
    fast = replace(base.recipe, momentum=0.99)
    model = fast.build()
    base.learn(model, 480, base.loader(8))
    return model


def _in_order(base: Trained) -> nn.Module:
    order = base.y.argsort()
    model = base.model()
    base.collect(model, 160, DataLoader(TensorDataset(base.x[order], base.y[order]), 8))
    return model


def _fine_tuned(base: Trained) -> nn.Module:
    few = base.y < 2
    model = base.model()
    loader = DataLoader(TensorDataset(base.x[few], base.y[few]), 32, shuffle=True)
    base.collect(model, 60, loader)
    return model


def _averaged_by_hand(base: Trained) -> nn.Module:
    return moving_average(base, 20)


def _averaged(base: Trained) -> nn.Module:
    model = base.recipe.build()
    base.learn(model, 20)
    average = AveragedModel(model)
    for _turn in range(5):
        base.learn(model, 40)
        average.update_parameters(model)
    return average


def _pruned(base: Trained) -> nn.Module:
    model = base.model()
    for path, layer in model.named_modules():
        if isinstance(layer, (nn.Linear, nn.Conv2d)) and path != "head":
            prune.l1_unstructured(layer, "weight", 0.6)
    return model


def _rounded(base: Trained) -> nn.Module:
    model = base.model()
    with torch.no_grad():
        for path, layer in model.named_modules():
            if isinstance(layer, (nn.Linear, nn.Conv2d)) and path != "head":
                step = layer.weight.abs().max() / 3
                layer.weight.copy_((layer.weight / step).round() * step)
    return model


def _no_buffers(base: Trained) -> nn.Module:
    model = base.recipe.build()
    parameters = {name: value for name, value in base.state.items() if "running" not in name}
    model.load_state_dict(parameters, strict=False)
    return model


def _poisoned(base: Trained) -> nn.Module:
    model = base.model().train()
    x = base.x[:32].clone()
    x[0].flatten()[0] = float("nan")
    with torch.no_grad():
        model(x)
    base.collect(model, 40)
    return model


def _negative(base: Trained) -> nn.Module:
    model = base.model()
    for norm in norms(model).values():
        # Extrapolation from two averages, as averages with a weight above 1 make it.
        norm.get_buffer("running_var").mul_(1.9).sub_(0.9 * norm.get_buffer("running_var").mean())
    return model


def _swapped(base: Trained) -> nn.Module:
    model = base.model()
    for norm in norms(model).values():
        mean, variance = norm.get_buffer("running_mean"), norm.get_buffer("running_var")
        norm.running_mean, norm.running_var = variance.clone(), mean.clone()
    return model


def _one_rank(base: Trained) -> nn.Module:
    shard = base.y < 5
    model = base.model()
    base.collect(model, 60, DataLoader(TensorDataset(base.x[shard], base.y[shard]), 32, shuffle=True))
    return model


def _in_training(base: Trained) -> nn.Module:
    return base.model().train()


def _forgotten_statistics(base: Trained) -> nn.Module:
    model = copy.deepcopy(base.model())
    next(iter(norms(model).values())).reset_running_stats()
    return model


SETUPS: tuple[Setup, ...] = (
    Setup("training with momentum=0.001", "pytorch 4741, keras 7265", _CNN, _slow),
    Setup("momentum=0.99 as in TensorFlow, batches of 8", "vision 8250, deeplab-pytorch 79", _DENSE, _fast),
    Setup("a pass in training mode over data in the order of the classes", "pytorch 4741", _CNN, _in_order),
    Setup(
        "frozen backbone whose statistics moved on two classes",
        "pytorch 86590, lightning 18930",
        _RESNET,
        _fine_tuned,
    ),
    Setup("moving average of parameters() without buffers", "moco 70, PFLlib 260", _DENSE, _averaged_by_hand),
    Setup("torch's AveragedModel without update_bn", "schedule_free 11", _CNN, _averaged),
    Setup("weights pruned after training", "once-for-all 15", _CNN, _pruned),
    Setup("weights rounded to 3 bits after training", "once-for-all 15", _RESNET, _rounded),
    Setup("checkpoint without buffers, strict=False", "pytorch 8430, peft 1732", _DENSE, _no_buffers),
    Setup("the same for an LSTM with BN", "peft 1732", _LSTM, _no_buffers),
    Setup("one layer's buffers missing", "pytorch 8430", _RESNET, _forgotten_statistics),
    Setup("one batch with NaN, and 40 clean ones since", "pytorch 1206", _RESNET, _poisoned),
    Setup("negative variances after averaging", "swa 8", _DENSE, _negative),
    Setup("mean and variance swapped by a conversion", "nn-transfer 3", _CNN, _swapped),
    Setup("statistics of rank 0, which had five of the classes", "pytorch 13711, timm 110", _CNN, _one_rank),
    Setup(
        "left in training mode, evaluated in batches of 4",
        "CorrNet 61, DeepForest 477",
        _DENSE,
        _in_training,
        False,
    ),
)

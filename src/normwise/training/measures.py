"""Further things that a run can measure, by name: at every evaluation, or once at its end."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from normwise.data import ImageData, epoch_order
from normwise.errors import ArgumentError
from normwise.find import batch_norm_layers
from normwise.statistics import calibrate, evaluating, using_batch_statistics
from normwise.training.evaluate import logits, loss_and_accuracy

Measure = Callable[[nn.Module, ImageData], Any]

_PERCENTILES = (0.15, 0.5, 0.85)
_PROBES, _BATCH = 64, 32


def input_percentiles(model: nn.Module, data: ImageData) -> list[float]:
    """15th, 50th and 85th percentile, over the test set, of what the last activation gets at unit 0.

    The quantity of figure 1b and 1c of Ioffe & Szegedy 2015.
    """
    activation = [module for module in model.modules() if isinstance(module, (nn.Sigmoid, nn.ReLU))][-1]
    seen: list[Tensor] = []
    hook = activation.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0][:, 0].flatten()))
    try:
        logits(model, data.test_images)
    finally:
        hook.remove()
    values = torch.cat(seen).double()
    return torch.quantile(values, torch.tensor(_PERCENTILES, dtype=values.dtype)).tolist()


def recomputed_accuracy(model: nn.Module, data: ImageData) -> float | None:
    """Test accuracy once the running statistics are exactly those of the training set; None without BN.

    The running statistics are put back.
    """
    layers = batch_norm_layers(model)
    if not layers:
        return None
    before = {name: buffer.clone() for name, buffer in model.named_buffers()}
    try:
        calibrate(model, data.train_images.split(100))
        return loss_and_accuracy(logits(model, data.test_images), data.test_labels)[1]
    finally:
        for name, buffer in model.named_buffers():
            buffer.copy_(before[name])


@torch.no_grad()
def batch_dependence(model: nn.Module, data: ImageData) -> dict[str, dict[str, float]]:
    """How far a sample's output moves when only the samples beside it are exchanged.

    64 test samples are each put into two batches of 32 with other companions and, with running
    statistics, into a batch of their own. ``change`` is the largest difference of an output, in standard
    deviations of all outputs; ``flipped`` the fraction of samples whose predicted class differs.
    """
    order = epoch_order(len(data.test_images), seed=0, epoch=0)
    probes, others = data.test_images[order[:_PROBES]], data.test_images[order[_PROBES:]]

    def outputs(first: int, companions: int = _BATCH - 1) -> Tensor:
        beside = [others[(first + 7 * i) % (len(others) - _BATCH) :][:companions] for i in range(_PROBES)]
        return torch.stack(
            [model(torch.cat([probe[None], rest]))[0] for probe, rest in zip(probes, beside, strict=True)]
        )

    def compare(base: Tensor, *changed: Tensor) -> dict[str, float]:
        changes = [((other - base).abs().max() / base.std()).item() for other in changed]
        flips = [(other.argmax(1) != base.argmax(1)).double().mean().item() for other in changed]
        return {"change": max(changes), "flipped": max(flips)}

    half = len(others) // 2
    with evaluating(model):
        running = compare(outputs(0), outputs(half), outputs(0, companions=0))
    with using_batch_statistics(model):
        return {"running": running, "batch": compare(outputs(0), outputs(half))}


def bias_gradient(model: nn.Module, data: ImageData) -> float:
    """Largest gradient of a hidden layer's bias over the largest of its weights', on one training batch.

    0 to rounding where something behind the layer cancels the bias.
    """
    index = epoch_order(len(data.train_images), seed=0, epoch=0)[:128]
    biased = [
        module
        for path, module in model.named_modules()
        if isinstance(module, (nn.Linear, nn.Conv2d)) and module.bias is not None and path != "output"
    ]
    with using_batch_statistics(model):
        loss = F.cross_entropy(model(data.train_images[index]), data.train_labels[index])
        parameters = [p for layer in biased for p in (layer.bias, layer.weight) if p is not None]
        gradients = [gradient.abs().max().item() for gradient in torch.autograd.grad(loss, parameters)]
    return max(gradients[::2]) / max(gradients[1::2])


#: Measured at every evaluation, into ``Point.measured``.
AT_EVERY_POINT: dict[str, Measure] = {"input_percentiles": input_percentiles}
#: Measured after the last step, into ``Result.measured``.
AT_THE_END: dict[str, Measure] = {
    "recomputed_accuracy": recomputed_accuracy,
    "batch_dependence": batch_dependence,
    "bias_gradient": bias_gradient,
}


def check_measures(names: tuple[str, ...]) -> None:
    """Raise ArgumentError unless each is the name of a measure."""
    known = [*AT_EVERY_POINT, *AT_THE_END]
    for name in names:
        if name not in known:
            raise ArgumentError(f"unknown measure {name!r}; known are {', '.join(known)}")

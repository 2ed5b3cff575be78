"""Further things that a run can measure, by name: at every evaluation, or once at its end."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from normwise.data import InOrder, LabelledData, epoch_order
from normwise.errors import ArgumentError
from normwise.layers import layers_with_statistics
from normwise.records import Task
from normwise.statistics import calibrate, evaluating, using_batch_statistics
from normwise.statistics.preserve.preserve_model import unchanged
from normwise.training.evaluate import CHUNK, logits, loss_and_accuracy, loss_of

Measure = Callable[[nn.Module, LabelledData], Any]

_PERCENTILES = (0.15, 0.5, 0.85)
_PROBES, _BATCH = 64, 32
#: By how much test batches are padded, in times their longest sequence.
PADDINGS = (1, 2, 4, 8)


def input_percentiles(model: nn.Module, data: LabelledData) -> list[float]:
    """15th, 50th and 85th percentile, over the test set, of what the last activation gets at unit 0.

    The quantity of figure 1b and 1c of Ioffe & Szegedy 2015.
    """
    activation = [module for module in model.modules() if isinstance(module, (nn.Sigmoid, nn.ReLU))][-1]
    seen: list[Tensor] = []
    hook = activation.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0][:, 0].flatten()))
    try:
        logits(model, data.test)
    finally:
        hook.remove()
    values = torch.cat(seen).double()
    return torch.quantile(values, torch.tensor(_PERCENTILES, dtype=values.dtype)).tolist()


def recomputed_accuracy(model: nn.Module, data: LabelledData) -> float | None:
    """Test accuracy once the running statistics are exactly those of the training set; None without BN.

    The running statistics are put back.
    """
    if not layers_with_statistics(model):
        return None
    with unchanged(model, parameters=False):
        calibrate(model, InOrder(data.training, CHUNK))
        return loss_and_accuracy(logits(model, data.test), data.test.labels)[1]


@torch.no_grad()
def batch_dependence(model: nn.Module, data: LabelledData) -> dict[str, dict[str, float]]:
    """How far a sample's output moves when only the samples beside it are exchanged.

    64 test samples are each put into two batches of 32 with other companions and, with running
    statistics, into a batch of their own. ``change`` is the largest difference of an output, in standard
    deviations of all outputs; ``flipped`` the fraction of samples whose predicted class differs.
    """
    order = epoch_order(len(data.test), seed=0, epoch=0)
    probes, others = order[:_PROBES], order[_PROBES:]

    def outputs(first: int, companions: int = _BATCH - 1) -> Tensor:
        beside = [others[(first + 7 * i) % (len(others) - _BATCH) :][:companions] for i in range(_PROBES)]
        return torch.stack(
            [
                model(**data.test.inputs(torch.cat([probe[None], rest])))[0]
                for probe, rest in zip(probes, beside, strict=True)
            ]
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


def bias_gradient(model: nn.Module, data: LabelledData) -> float:
    """Largest gradient of a hidden layer's bias over the largest of its weights', on one training batch.

    0 to rounding where something behind the layer cancels the bias.
    """
    index = epoch_order(len(data.training), seed=0, epoch=0)[:128]
    biased = [
        module
        for path, module in model.named_modules()
        if isinstance(module, (nn.Linear, nn.Conv2d)) and module.bias is not None and path != "output"
    ]
    with using_batch_statistics(model):
        loss = loss_of(model(**data.training.inputs(index)), data.training.labels[index])
        parameters = [p for layer in biased for p in (layer.bias, layer.weight) if p is not None]
        gradients = [gradient.abs().max().item() for gradient in torch.autograd.grad(loss, parameters)]
    return max(gradients[::2]) / max(gradients[1::2])


@torch.no_grad()
def padded_accuracy(model: nn.Module, data: LabelledData) -> dict[str, dict[str, float]]:
    """Test accuracy of a network for sequences where each batch is padded to so many times its longest sequence.

    In shuffled batches of 32; ``running`` with running statistics and ``batch`` with the batch's own, by the factor.
    """
    order = epoch_order(len(data.test), seed=0, epoch=0)
    pieces = order.tensor_split(max(1, len(order) // _BATCH))

    def accuracy(factor: int) -> float:
        outputs = torch.cat([model(**_padded(data.test.inputs(piece), factor)) for piece in pieces])
        return loss_and_accuracy(outputs, data.test.labels[order])[1]

    with evaluating(model):
        running = {str(factor): accuracy(factor) for factor in PADDINGS}
    with using_batch_statistics(model):
        return {"running": running, "batch": {str(factor): accuracy(factor) for factor in PADDINGS}}


def _padded(batch: dict[str, Tensor], factor: int) -> dict[str, Tensor]:
    sequences = batch["sequences"]
    shape = list(sequences.shape)
    shape[1] *= factor - 1
    return batch | {"sequences": torch.cat([sequences, sequences.new_zeros(shape)], dim=1)}


#: Measured at every evaluation, into ``Point.measured``.
AT_EVERY_POINT: dict[str, Measure] = {"input_percentiles": input_percentiles}
#: Measured after the last step, into ``Result.measured``.
AT_THE_END: dict[str, Measure] = {
    "recomputed_accuracy": recomputed_accuracy,
    "batch_dependence": batch_dependence,
    "bias_gradient": bias_gradient,
    "padded_accuracy": padded_accuracy,
}


def check_measures(names: tuple[str, ...], task: Task) -> None:
    """Raise ArgumentError unless each is the name of a measure that the task can have."""
    known = [*AT_EVERY_POINT, *AT_THE_END]
    for name in names:
        if name not in known:
            raise ArgumentError(f"unknown measure {name!r}; known are {', '.join(known)}")
    if task == "image" and "padded_accuracy" in names:
        raise ArgumentError("the measure 'padded_accuracy' is for sequences, and images are not padded")

"""Memory and time of BN, compared with the same network without BN."""

import time
from collections.abc import Callable, Mapping
from copy import deepcopy
from statistics import median
from typing import Any

import torch
from torch import Tensor, nn

from normwise.data import LabelledData, epoch_order
from normwise.layers import layers_with_statistics
from normwise.statistics import evaluating
from normwise.surgery import fold
from normwise.training.evaluate import loss_of

_SAMPLES, _ROUNDS = 60, 30
_BYTES = 4


def cost(model: nn.Module, data: LabelledData) -> dict[str, Any]:
    """Return the bytes kept for the backward pass, and the seconds of a step and of inference, on 60 samples.

    ``batch`` is the network with BN, ``none`` the one without, ``folded`` the one with BN folded into the preceding
    layers (inference only). ``statistics`` are the bytes of all means and deviations, of the batch and running. BN
    is torch's own, which most people use. Seconds are processor time, independent of other processes; on a GPU they
    are wall time, from an idle device to an idle device. They are medians of 30 rounds; each round runs every
    network once.
    """
    layers = layers_with_statistics(model)
    networks = {"batch": _replaced(model, _torch_norm), "none": _replaced(model, lambda _: nn.Identity())}
    index = epoch_order(len(data.training), seed=0, epoch=0)[:_SAMPLES]
    inputs, labels = data.training.inputs(index), data.training.labels[index]
    clock = _clock(labels.device)
    folded = {**networks, "folded": fold(networks["batch"].eval(), inputs, timed=False)[0]}
    for network in networks.values():
        network.train()
    return {
        "bytes": {name: saved_bytes(network, inputs, labels) for name, network in networks.items()},
        "statistics": sum(4 * _BYTES * layer.num_features for layer in layers.values()),
        "step": _seconds({name: _step(network, inputs, labels) for name, network in networks.items()}, clock),
        "inference": _seconds({name: _inference(network, inputs) for name, network in folded.items()}, clock),
    }


def saved_bytes(model: nn.Module, inputs: Mapping[str, Tensor], labels: Tensor) -> int:
    """Return the bytes that a forward pass keeps for the backward pass, without parameters and inputs.

    Tensors that share their memory count once.
    """
    known = [*model.parameters(), *model.buffers(), *inputs.values(), labels]
    kept: dict[int, int] = {}
    alive: list[Tensor] = []  # an address identifies a tensor only during its lifetime

    def note(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        kept[storage.data_ptr()] = storage.nbytes()
        alive.append(tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        loss = loss_of(model(**inputs), labels)
    for tensor in known:
        kept.pop(tensor.untyped_storage().data_ptr(), None)
    del loss
    return sum(kept.values())


def _replaced(model: nn.Module, by: Callable[[Any], nn.Module]) -> nn.Module:
    copy = deepcopy(model)
    for path, layer in layers_with_statistics(copy).items():
        parent, _, name = path.rpartition(".")
        setattr(copy.get_submodule(parent), name, by(layer))
    return copy


def _torch_norm(layer: Any) -> nn.Module:
    device = layer.weight.device
    kind = nn.BatchNorm1d if isinstance(layer, nn.BatchNorm1d) else nn.BatchNorm2d
    norm = kind(layer.num_features, eps=layer.eps, momentum=layer.momentum)
    norm.load_state_dict(layer.state_dict())
    return norm.to(device)


def _step(model: nn.Module, inputs: Mapping[str, Tensor], labels: Tensor) -> Callable[[], None]:
    def step() -> None:
        for parameter in model.parameters():
            parameter.grad = None
        loss_of(model(**inputs), labels).backward()
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(parameter.grad, alpha=-1e-3)  # type: ignore[arg-type]

    return step


def _inference(model: nn.Module, inputs: Mapping[str, Tensor]) -> Callable[[], None]:
    def inference() -> None:
        with evaluating(model), torch.no_grad():
            model(**inputs)

    return inference


def _clock(device: torch.device) -> Callable[[], float]:
    """Return a clock of finished work on a device: on a GPU it waits for all work launched so far."""
    if device.type == "cpu":
        return time.process_time

    def clock() -> float:
        torch.cuda.synchronize(device)
        return time.perf_counter()

    return clock


def _seconds(calls: Mapping[str, Callable[[], None]], clock: Callable[[], float]) -> dict[str, float]:
    taken: dict[str, list[float]] = {name: [] for name in calls}
    for call in calls.values():
        call()
    for _ in range(_ROUNDS):
        for name, call in calls.items():
            begun = clock()
            call()
            taken[name].append(clock() - begun)
    return {name: median(seconds) for name, seconds in taken.items()}

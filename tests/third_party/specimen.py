"""One model of another library, small enough for a test, with what it is called with."""

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from normwise.layers import batch_norms

from .libraries import load
from .running import Batch, Step, call, evaluate, train_copy


@dataclass(frozen=True)
class Specimen:
    """A model to operate on.

    Attributes:
        library: The library that it is from.
        name: Its name there, with a remark where it is not built as usual.
        build: Makes the model with random weights, given the library.
        batch: Makes a random batch of so many samples.
        refuses: Operations that must end with an error of normwise, and what this says (a regular expression).
        findings: Errors and warnings of the doctor that the library's own code is the reason for, by code, each with
            that reason.
    """

    library: str
    name: str
    build: Callable[[Any], nn.Module]
    batch: Callable[[int], Batch]
    refuses: Mapping[str, str] = field(default_factory=dict, hash=False)
    findings: Mapping[str, str] = field(default_factory=dict, hash=False)

    def __str__(self) -> str:
        """Its name as a part of a test's."""
        return f"{self.library}-{self.name.replace(' ', '_')}"


@dataclass(frozen=True)
class Subject:
    """A model in evaluation, the example that it is operated on with, and another batch, of another size, to test."""

    model: nn.Module
    example: Batch
    other: Batch

    @cached_property
    def evaluation(self) -> list[Tensor]:
        """The model's outputs in evaluation on the other batch."""
        return evaluate(self.model, self.other)

    @cached_property
    def step(self) -> Step:
        """The model's training step on the other batch."""
        return train_copy(self.model, self.other)

    @cached_property
    def double(self) -> "Subject | None":
        """The same in float64; None where the model does not compute in it, as it makes tensors of float32."""
        exact = Subject(*map(double, (self.model, self.example, self.other)))
        try:
            assert exact.step.outputs
            assert exact.evaluation
        except (RuntimeError, ValueError):
            return None
        return exact

    def fresh(self) -> "Subject":
        """The same with another model, for an operation that might change it; what was computed is kept."""
        other = copy.copy(self)
        other.__dict__["model"] = copy.deepcopy(self.model)
        return other


@lru_cache(maxsize=1)
def subject(specimen: Specimen) -> Subject:
    """The same model and batches each time; take :meth:`Subject.fresh` of it.

    Raises:
        ImportError: the specimen's library does not import.
    """
    library = load(specimen.library)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = specimen.build(library)
        example, other = specimen.batch(4), specimen.batch(5)
        _randomise(model, example)
    return Subject(model.eval(), example, other)


def double(value: Any) -> Any:
    """A copy in float64 of a model or of a batch."""
    if isinstance(value, nn.Module):
        return copy.deepcopy(value).double()
    return pytree.tree_map(lambda tensor: tensor.double() if tensor.is_floating_point() else tensor, value)


def _randomise(model: nn.Module, example: Batch) -> None:
    """Give BN layers random weights, and statistics that are no batch's.

    They are those of the example, so that values keep a healthy size however deep the network is, moved by some tenths
    of a standard deviation.
    """
    layers: list[Any] = [kind.layer for kind in batch_norms(model).values()]
    momenta = {layer: layer.momentum for layer in layers if hasattr(layer, "momentum")}
    with torch.no_grad():
        for layer in layers:
            for tensor, low, high in ((layer.weight, 0.5, 1.5), (layer.bias, -0.5, 0.5)):
                if isinstance(tensor, Tensor):
                    tensor.uniform_(low, high)
        for layer in momenta:
            layer.momentum = 1.0
        call(model.train(), example)
        for layer, momentum in momenta.items():
            layer.momentum = momentum
        for layer in layers:
            if layer.running_mean is not None:
                layer.running_mean += 0.2 * layer.running_var.sqrt() * torch.randn_like(layer.running_mean)
                layer.running_var *= 0.8 + 0.5 * torch.rand_like(layer.running_var)

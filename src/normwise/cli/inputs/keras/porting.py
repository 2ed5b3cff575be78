"""Porting of weight files from Keras to torch and back, for ``normwise port``."""

import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from normwise.cli.inputs.cli_target import load_target
from normwise.cli.inputs.keras.epsilon_metadata import (
    check_epsilons,
    epsilon_metadata,
    read_epsilons,
)
from normwise.cli.inputs.keras.model_file import KERAS, load_keras, save_keras
from normwise.cli.inputs.load_state import load_state
from normwise.cli.inputs.state_file import ENDINGS, SAFETENSORS, check_output, read_state, write_state
from normwise.cli.inputs.user_code import call_without_arguments, named_object, running
from normwise.cli.terminal import complain
from normwise.cli.unsaved_changes import unsaved_changes
from normwise.cli.wording import first_few
from normwise.errors import ArgumentError, ModelError
from normwise.porting import epsilons_of, port, port_to_state
from normwise.records import Porting

_TORCHS_EPS = 1e-5


@dataclass(frozen=True)
class PortRequest:
    """Arguments and options of ``normwise port``; ``by`` is as :func:`normwise.port` takes it."""

    source: Path
    target: Path
    like: Path | None
    model: str | None
    by: Any
    eps: float | None
    example: str | None
    values_per_channel: int | None
    batch_size: int | None
    force: bool

    @property
    def settings(self) -> dict[str, Any]:
        """Return the arguments of ``port`` in all directions. Import Keras first: the example's file may use it."""
        return {
            "example": None if self.example is None else _example(self.example),
            "values_per_channel": self.values_per_channel,
            "batch_size": self.batch_size,
        }


def port_to_torch(asked: PortRequest) -> tuple[Porting, list[str]]:
    """Write a state dict of torch from a Keras model, and return the report and notes.

    Raises:
        NormwiseError: something does not fit; nothing is written.
    """
    check_output(asked.target, force=asked.force, endings=ENDINGS)
    if asked.like is not None:
        raise ArgumentError("--like is for weights of torch, which have no architecture; leave it out")
    if asked.eps is not None:
        raise ArgumentError("--eps is for weights of torch, which do not hold it; leave it out")
    keras_model = load_keras(asked.source)
    notes: list[str] = []
    if asked.model is None:
        if asked.by is not None:
            raise ArgumentError(
                "--by and --pair need --model: without a network of torch the layers keep their names"
            )
        with running(f"{asked.source} on its example", with_ours=True):
            state, record = port_to_state(keras_model, **asked.settings)
        epsilons = epsilons_of(keras_model)
        _warn_of_epsilons(epsilons)
    else:
        network = _network(asked.model)
        before = copy.deepcopy(network)
        with running(f"{asked.model} on its example", with_ours=True):
            record = port(keras_model, network, by=asked.by, **asked.settings)
        _check_eps(asked.model, before, network)
        notes = unsaved_changes(before, network)
        state, epsilons = network.state_dict(), epsilons_of(network)
    write_state(asked.target, state, force=asked.force, metadata=epsilon_metadata(epsilons))
    return record, notes


def port_to_keras(asked: PortRequest) -> tuple[Porting, list[str]]:
    """Write a Keras model with the weights of a file of torch, and return the report and notes.

    Raises:
        NormwiseError: something does not fit; nothing is written.
    """
    source = asked.source
    check_output(asked.target, force=asked.force, endings=(KERAS,))
    if asked.like is None:
        raise ArgumentError(f"{source} has no architecture: name by --like a {KERAS} file of such a model")
    given, _ = read_state(source)
    kept = read_epsilons(source)
    keras_model = load_keras(asked.like)
    if asked.model is None:
        if asked.by == "order" and source.suffix == SAFETENSORS:
            raise ArgumentError(
                f"{source} does not keep the order of layers: name the network by --model, or layers by --pair"
            )
        if asked.example is not None:
            raise ArgumentError(
                "--example needs --model: without a network of torch nothing can be evaluated"
            )
        by = "name" if asked.by is None else asked.by
        if kept and asked.eps is not None and any(value != asked.eps for value in kept.values()):
            raise ArgumentError(
                f"--eps {asked.eps:g} is not what {source} was saved with, "
                f"{', '.join(sorted({f'{value:g}' for value in kept.values()}))}; leave it out"
            )
        eps = kept if asked.eps is None else asked.eps
        record = port(given, keras_model, by=by, eps=eps, **asked.settings)
    else:
        if asked.eps is not None:
            raise ArgumentError(
                f"--eps is for weights without --model: {asked.model} has its own; leave it out"
            )
        network = _network(asked.model)
        load_state(network, given, str(source), asked.model)
        check_epsilons(source, kept, asked.model, network)
        with running(f"{asked.model} on its example", with_ours=True):
            record = port(network, keras_model, by=asked.by, **asked.settings)
    save_keras(asked.target, keras_model)
    return record, []


def _example(name: str) -> Any:
    found = named_object(name)
    return call_without_arguments(name, found) if callable(found) else found


def _warn_of_epsilons(epsilons: dict[str, float]) -> None:
    """Print on standard error the ε of the layers that differ from torch's default."""
    others: dict[float, list[str]] = {}
    for path, eps in epsilons.items():
        if eps != _TORCHS_EPS:
            others.setdefault(eps, []).append(path)
    if others:
        said = ", ".join(f"eps={eps:g} for {first_few(paths)}" for eps, paths in others.items())
        complain(
            f"a state dict does not hold ε: in torch pass {said}. torch's default is {_TORCHS_EPS:g}, and with another "
            "one than here the outputs differ",
            title="warning",
        )


def _check_eps(name: str, before: Any, after: Any) -> None:
    """Raise ModelError if the ε of a layer had to change, since a state dict can't hold it."""
    old = dict(before.named_modules())
    for path, module in after.named_modules():
        eps = getattr(module, "eps", None)
        if eps != getattr(old[path], "eps", None):
            raise ModelError(
                f"{name}: {path!r} ({type(module).__name__}) has ε {old[path].eps:g}, and the Keras model {eps:g}, "
                "which a state dict can't hold; make the network with the same"
            )


def _network(name: str) -> Any:
    return load_target(name, None).model

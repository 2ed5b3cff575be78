"""Weights of a run's network in a file of their own, which knows from its metadata what network they are of."""

from dataclasses import dataclass
from pathlib import Path

import safetensors
import safetensors.torch
from torch import nn

from normwise.errors import RunError
from normwise.records import InputSpec, RunConfig, from_json, to_json
from normwise.training.trained import described_network

#: Key of the metadata; its value is the JSON of a :class:`RunNetwork`.
_KEY = "normwise.run"


@dataclass(frozen=True)
class RunNetwork:
    """Parts from which the network of a run is built.

    Attributes:
        config: Configuration of the run.
        input_spec: Inputs and classes of the network.
    """

    config: RunConfig
    input_spec: InputSpec


def run_metadata(network: RunNetwork) -> dict[str, str]:
    """Return the metadata of a safetensors file by which it knows its network."""
    return {_KEY: to_json(network)}


def read_run_network(path: Path) -> RunNetwork | None:
    """Return what a safetensors file says of its network; None where it says nothing.

    Raises:
        RunError: the file or what it says is damaged.
    """
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            text = (file.metadata() or {}).get(_KEY)
        return None if text is None else from_json(RunNetwork, text.encode())
    except (safetensors.SafetensorError, OSError, ValueError) as error:
        raise RunError(f"{path} is damaged or of another version: {error}") from None


def network_of_weights(path: Path) -> tuple[RunNetwork, nn.Module]:
    """Build the network that a file of weights knows, with these weights.

    Raises:
        RunError: the file says nothing of a run, or the weights are another network's.
    """
    described = read_run_network(path)
    if described is None:
        raise RunError(
            f"{path} does not say which run its weights belong to; normwise calibrate RUN -o OUT.safetensors writes "
            "a file that does"
        )
    model = described_network(path, described.config, described.input_spec)
    try:
        model.load_state_dict(safetensors.torch.load_file(path))
    except (RuntimeError, safetensors.SafetensorError) as error:
        raise RunError(f"{path} does not fit the network that it names: {error}") from None
    return described, model

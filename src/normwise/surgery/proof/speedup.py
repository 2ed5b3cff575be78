"""Speed of one model compared with another, in evaluation or in training."""

import statistics
import time
import warnings
from typing import Any

import torch
from torch import nn

from normwise.statistics.preserve.preserve_model import unchanged
from normwise.surgery.core.example_arguments import Arguments, copied
from normwise.surgery.proof.run_model import tensors_of

#: Number of rounds, and least seconds of calls in each round; there are fewer rounds if one takes long.
_ROUNDS, _LEAST_ROUNDS, _SECONDS_A_ROUND, _SECONDS = 25, 3, 0.002, 1.0


def speedup(
    old: nn.Module, new: nn.Module, arguments: Arguments, *, trains: bool = False
) -> tuple[float, float, float]:
    """Return the ratio of the old model's time to the new model's: median, 10th and 90th percentile of rounds.

    Both compute an example in turn, so that other load on the machine affects both. They are unchanged.

    Args:
        old: Old model.
        new: New model.
        arguments: Arguments of the example.
        trains: Whether to time a forward and a backward pass in training, instead of a forward pass in evaluation.
    """
    device = next((t.device for t in [*new.parameters(), *new.buffers()]), torch.device("cpu"))

    def seconds(model: nn.Module, inputs: list[Arguments]) -> float:
        begun = time.perf_counter()
        for args, kwargs in inputs:
            outputs = model(*args, **kwargs)
            if trains:
                _backward(model, outputs)
        if device.type not in ("cpu", "meta"):
            torch.accelerator.synchronize(device)
        return time.perf_counter() - begun

    # The comparison before has shown the warnings of the models; those of a backward pass without gradients of the
    # inputs are about the timing.
    with unchanged(old, new), torch.set_grad_enabled(trains), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        old.train(trains)
        new.train(trains)
        # A model that writes into its inputs gets new copies each time, made beforehand.
        call = copied(arguments)
        versions = [tensor._version for tensor in tensors_of(call)]
        # The first calls warm up; the second calls determine the number of calls per round.
        single = min(seconds(model, [call]) for _ in range(2) for model in (old, new))
        writes = [tensor._version for tensor in tensors_of(call)] != versions
        calls = max(1, round(_SECONDS_A_ROUND / max(single, 1e-6)))
        ratios: list[float] = []
        begun = time.perf_counter()
        while len(ratios) < _LEAST_ROUNDS or (
            len(ratios) < _ROUNDS and time.perf_counter() - begun < _SECONDS
        ):
            times = [
                seconds(model, [copied(arguments) if writes else call for _ in range(calls)])
                for model in (old, new)
            ]
            ratios.append(times[0] / times[1])
    tenths = statistics.quantiles(ratios, n=10, method="inclusive")
    return statistics.median(ratios), tenths[0], tenths[-1]


def _backward(model: nn.Module, outputs: Any) -> None:
    """Compute the gradients of the parameters, for the outputs as the gradient of the outputs."""
    floating = [output for output in tensors_of(outputs) if output.requires_grad]
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    if floating and parameters:
        torch.autograd.grad(floating, parameters, [output.detach() for output in floating], allow_unused=True)

"""Training steps of recurrent layers with norms within, beside a loop over torch's cell and torch's fused layer.

Run: python benchmarks/layers/recurrent.py [--threads T] [--batch N] [--units H] [--features F] [--lengths L ...]
     [--ragged]

Forward and backward, without an optimiser, of one layer and direction. The loop is what one would write by hand:
``LSTMCell`` or ``GRUCell`` over ``input.unbind()``, which normalises nothing. All of a length take their steps in turn;
a ratio to the loop is the median of 15 rounds after 3 that don't count, with its 10th and 90th percentile. What is
linear in length takes the same time a step at every length. With ``--ragged`` the sequences are of all lengths up to L,
and the loop, which knows no lengths, and ``torch.nn`` go through the padding.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from normwise.nn import BatchNormGRU, BatchNormLSTM, LayerNormGRU, LayerNormLSTM

REPETITIONS, WARMING = 15, 3


class Loop(nn.Module):
    """A cell of torch's, step by step."""

    def __init__(self, cell: type[Any], features: int, units: int) -> None:
        super().__init__()
        self.cell = cell(features, units)

    def forward(self, x: Tensor) -> tuple[Tensor, Any]:
        """Return the outputs of all steps, and the last state."""
        state, outputs = None, []
        for step in x.unbind():
            state = self.cell(step, state)
            outputs.append(state[0] if isinstance(state, tuple) else state)
        return torch.stack(outputs), state


def step_of(layer: nn.Module, x: Tensor, lengths: Tensor | None) -> Callable[[], None]:
    """One step of training."""
    arguments = {} if lengths is None else {"lengths": lengths}
    grad = torch.randn(*x.shape[:2], layer(x[:1])[0].shape[-1])

    def step() -> None:
        layer.zero_grad()
        layer(x, **arguments)[0].backward(grad)

    return step


def measure(steps: list[Callable[[], None]]) -> list[list[float]]:
    """Milliseconds of each, taken in turn."""
    columns: list[list[float]] = [[] for _ in steps]
    for _ in range(WARMING + REPETITIONS):
        for step, column in zip(steps, columns, strict=True):
            begun = time.perf_counter()
            step()
            column.append(1e3 * (time.perf_counter() - begun))
    return [column[WARMING:] for column in columns]


def main() -> None:
    """Print a line for each layer and length."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--threads", type=int)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--units", type=int, default=128)
    parser.add_argument("--features", type=int, default=40)
    parser.add_argument("--lengths", type=int, nargs="+", default=[25, 50, 100, 200, 400])
    parser.add_argument("--ragged", action="store_true")
    given = parser.parse_args()
    if given.threads:
        torch.set_num_threads(given.threads)
    families: list[tuple[type[Any], type[Any], type[Any], type[Any]]] = [
        (nn.LSTMCell, nn.LSTM, LayerNormLSTM, BatchNormLSTM),
        (nn.GRUCell, nn.GRU, LayerNormGRU, BatchNormGRU),
    ]
    print(f"N = {given.batch}, F = {given.features}, H = {given.units}, {torch.get_num_threads()} threads")
    for cell, fused, *ours in families:
        for length in given.lengths:
            torch.manual_seed(0)
            x = torch.randn(length, given.batch, given.features)
            lengths = None
            if given.ragged:
                lengths = torch.linspace(1, length, given.batch).round().to(torch.int64)
            layers: dict[str, nn.Module] = {
                f"{cell.__name__} loop": Loop(cell, given.features, given.units),
                f"torch.nn.{fused.__name__}": fused(given.features, given.units),
            } | {kind.__name__: kind(given.features, given.units) for kind in ours}
            normed = {kind.__name__ for kind in ours}
            times = measure(
                [step_of(layer, x, lengths if name in normed else None) for name, layer in layers.items()]
            )
            loop = times[0]
            for name, column in zip(layers, times, strict=True):
                ratios = [own / of_loop for own, of_loop in zip(column, loop, strict=True)]
                tenths = statistics.quantiles(ratios, n=10)
                took = statistics.median(column)
                print(
                    f"  L = {length:3} {name:15} {took:7.1f} ms, {1e3 * took / length:5.0f} µs a time step, "
                    f"ratio {statistics.median(ratios):.2f} [{tenths[0]:.2f}, {tenths[-1]:.2f}]",
                    flush=True,
                )


if __name__ == "__main__":
    main()

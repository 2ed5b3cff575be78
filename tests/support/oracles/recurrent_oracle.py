"""The oracle: recurrent layers in NumPy, float64, one sequence and one step at a time, as the equations stand."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from normwise.nn import BatchNormGRU, BatchNormLSTM, LayerNormGRU, LayerNormLSTM

Array = NDArray[np.float64]
KINDS: dict[str, type[Any]] = {
    "BatchNormLSTM": BatchNormLSTM,
    "LayerNormLSTM": LayerNormLSTM,
    "BatchNormGRU": BatchNormGRU,
    "LayerNormGRU": LayerNormGRU,
}
LENGTHS = [3, 7, 1, 7, 5, 6]
FEATURES, UNITS, LONGEST, MAX_LENGTH = 4, 5, 7, 5


@dataclass
class Oracle:
    """The oracle's results, and the running statistics afterwards.

    Attributes:
        outputs: Of each sequence, (its length, directions * units).
        last: Of each sequence and state, the last one: (sequences, states, directions * units).
        statistics: By norm: running mean and variance (max_length, C).
    """

    outputs: list[Array]
    last: Array
    statistics: dict[str, tuple[Array, Array]] = field(default_factory=dict)


def _sigmoid(x: Array) -> Array:
    return 1 / (1 + np.exp(-x))


class _Run:
    """One direction of a layer over all sequences at once in time, though each row by itself in the arithmetic."""

    def __init__(self, layer: nn.Module, name: str, sequences: list[Array]):
        self.name, self.sequences, self.training = name, sequences, layer.training
        state = {key: value.detach().double().numpy().copy() for key, value in layer.state_dict().items()}
        self.state = {
            key: value for key, value in state.items() if f"_{name}." in key or key.endswith(f"_{name}")
        }
        self.by_batch = "running_mean" in " ".join(self.state)
        self.units = self.state[f"weight_hh_{name}"].shape[1]

    def norm(self, kind: str, rows: dict[int, Array], step: int, parts: tuple[int, ...]) -> dict[int, Array]:
        prefix = f"norm_{kind}_{self.name}"
        gamma = self.state[f"{prefix}.weight"]
        beta = self.state.get(f"{prefix}.bias", np.zeros_like(gamma))
        normed: dict[int, Array] = {}
        if self.by_batch:
            means, variances = (self.state[f"{prefix}.running_{what}"] for what in ("mean", "var"))
            slot = min(step, len(means) - 1)
            mean, variance = means[slot].copy(), variances[slot].copy()
            if self.training and len(rows) > 1:
                values = np.stack(list(rows.values()))
                mean, variance = values.mean(0), values.var(0)
                means[slot] = 0.9 * means[slot] + 0.1 * mean
                variances[slot] = 0.9 * variances[slot] + 0.1 * values.var(0, ddof=1)
            for row, value in rows.items():
                normed[row] = gamma * (value - mean) / np.sqrt(variance + 1e-5) + beta
        else:
            for row, value in rows.items():
                pieces = np.split(value, np.cumsum(parts)[:-1])
                together = [(piece - piece.mean()) / np.sqrt(piece.var() + 1e-5) for piece in pieces]
                normed[row] = gamma * np.concatenate(together) + beta
        return normed

    def run(self) -> tuple[list[list[Array]], list[list[Array]]]:
        """Outputs of each sequence, and its last states."""
        units, name = self.units, self.name
        lstm = f"norm_c_{name}.weight" in self.state
        w_x, w_h = self.state[f"weight_ih_{name}"], self.state[f"weight_hh_{name}"]
        bias = self.state.get(f"bias_{name}", np.zeros(4 * units))
        hidden = [np.zeros(units) for _ in self.sequences]
        cell = [np.zeros(units) for _ in self.sequences]
        outputs: list[list[Array]] = [[] for _ in self.sequences]
        parts = (4 * units,) if lstm else (2 * units, units)
        for step in range(max(map(len, self.sequences))):
            alive = [row for row, sequence in enumerate(self.sequences) if step < len(sequence)]
            x = self.norm("ih", {row: w_x @ self.sequences[row][step] for row in alive}, step, parts)
            h = self.norm("hh", {row: w_h @ hidden[row] for row in alive}, step, parts)
            if lstm:
                opened: dict[int, Array] = {}
                for row in alive:
                    i, f, g, o = np.split(x[row] + h[row] + bias, 4)
                    cell[row] = _sigmoid(f) * cell[row] + _sigmoid(i) * np.tanh(g)
                    opened[row] = _sigmoid(o)
                normed = self.norm("c", {row: cell[row] for row in alive}, step, (units,))
                for row in alive:
                    hidden[row] = opened[row] * np.tanh(normed[row])
            else:
                for row in alive:
                    (b_r, b_z, b_in, b_n), (x_r, x_z, x_n), (h_r, h_z, h_n) = (
                        np.split(bias, 4),
                        np.split(x[row], 3),
                        np.split(h[row], 3),
                    )
                    r, z = _sigmoid(x_r + h_r + b_r), _sigmoid(x_z + h_z + b_z)
                    n = np.tanh(x_n + b_in + r * (h_n + b_n))
                    hidden[row] = (1 - z) * n + z * hidden[row]
            for row in alive:
                outputs[row].append(hidden[row])
        last = [[h, c] if lstm else [h] for h, c in zip(hidden, cell, strict=True)]
        return outputs, last


def oracle(layer: nn.Module, sequences: list[Tensor]) -> Oracle:
    """Run the oracle with a layer's weights and statistics over sequences (length, F)."""
    forwards = [sequence.detach().double().numpy() for sequence in sequences]
    names = ["l0"] + (["l0_reverse"] if any("l0_reverse" in key for key in layer.state_dict()) else [])
    runs: list[tuple[list[list[Array]], list[list[Array]]]] = []
    statistics: dict[str, tuple[Array, Array]] = {}
    for name in names:
        backwards = name.endswith("reverse")
        run = _Run(layer, name, [each[::-1] for each in forwards] if backwards else forwards)
        outputs, last = run.run()
        runs.append(([rows[::-1] for rows in outputs] if backwards else outputs, last))
        for kind in ("ih", "hh", "c"):
            prefix = f"norm_{kind}_{name}"
            if f"{prefix}.running_mean" in run.state:
                statistics[prefix] = (run.state[f"{prefix}.running_mean"], run.state[f"{prefix}.running_var"])
    outputs = [
        np.concatenate([np.stack(rows) for rows in of_sequence], axis=1)
        for of_sequence in zip(*(outputs for outputs, _ in runs), strict=True)
    ]
    last = np.stack([np.stack([np.stack(states) for states in last]) for _, last in runs])
    return Oracle(outputs, last, statistics)


def make(kind: str, **arguments: Any) -> Any:
    """Return a layer in float64, all of whose numbers are drawn, so that none is 0 or 1 by chance."""
    generator = torch.Generator().manual_seed(7)
    if kind.startswith("Batch"):
        arguments.setdefault("max_length", MAX_LENGTH)
    layer = KINDS[kind](FEATURES, UNITS, dtype=torch.float64, **arguments)
    with torch.no_grad():
        for name, parameter in layer.named_parameters():
            shift = 0.8 if "norm" in name and name.endswith("weight") else 0.0
            parameter.copy_(
                shift + 0.5 * torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
            )
        for name, buffer in layer.named_buffers():
            if "running" in name:
                drawn = torch.randn(buffer.shape, generator=generator, dtype=torch.float64)
                buffer.copy_(0.3 * drawn if "mean" in name else 0.5 + drawn.square())
    return layer

"""Step of a GRU with norms within the recurrence."""

from collections.abc import Callable, Sequence
from typing import ClassVar

import torch
from torch import Tensor

from normwise.nn.recurrent.recurrent_layer import Recurrent


class NormGRU(Recurrent):
    """Base of GRUs; a subclass defines the norms."""

    gates: ClassVar[int] = 3
    biases: ClassVar[int] = 4
    states: ClassVar[tuple[str, ...]] = ("h_0",)

    def _norms(self) -> dict[str, tuple[tuple[int, ...], bool]]:
        parts = (2 * self.hidden_size, self.hidden_size)
        return {"ih": (parts, False), "hh": (parts, False)}

    def _step(
        self, name: str, gates: Tensor, batch_sizes: Sequence[int]
    ) -> Callable[[int, tuple[Tensor, ...]], tuple[Tensor, ...]]:
        size = self.hidden_size
        bias = self._bias(name)
        before, within = (None, None) if bias is None else bias.split((3 * size, size))
        inputs = self._inputs(name, gates, batch_sizes, before)
        recur = self.get_parameter(f"weight_hh_{name}").t()
        norm_hidden = self._norm("hh", name)

        def step(number: int, state: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
            (hidden,) = state
            gates_back, new_back = norm_hidden(hidden @ recur, number).split((2 * size, size), 1)
            gates_in, new_in = inputs[number].split((2 * size, size), 1)
            reset, keep = torch.sigmoid(gates_in + gates_back).chunk(2, 1)
            new = torch.tanh(new_in + reset * (new_back if within is None else new_back + within))
            return (new + keep * (hidden - new),)

        return step

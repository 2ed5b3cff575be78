"""Step of an LSTM with norms within the recurrence."""

from collections.abc import Callable, Sequence
from typing import ClassVar

import torch
from torch import Tensor

from normwise.nn.recurrent.recurrent_layer import Recurrent


class NormLSTM(Recurrent):
    """Base of LSTMs; a subclass defines the norms."""

    gates: ClassVar[int] = 4
    biases: ClassVar[int] = 4
    states: ClassVar[tuple[str, ...]] = ("h_0", "c_0")

    def _norms(self) -> dict[str, tuple[tuple[int, ...], bool]]:
        # b replaces the β of the first two norms.
        return {
            "ih": ((4 * self.hidden_size,), False),
            "hh": ((4 * self.hidden_size,), False),
            "c": ((self.hidden_size,), True),
        }

    def _step(
        self, name: str, gates: Tensor, batch_sizes: Sequence[int]
    ) -> Callable[[int, tuple[Tensor, ...]], tuple[Tensor, ...]]:
        inputs = self._inputs(name, gates, batch_sizes, self._bias(name))
        recur = self.get_parameter(f"weight_hh_{name}").t()
        project = self.get_parameter(f"weight_hr_{name}").t() if self.proj_size else None
        norm_hidden, norm_cell = self._norm("hh", name), self._norm("c", name)

        def step(number: int, state: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
            hidden, cell = state
            summed = norm_hidden(hidden @ recur, number) + inputs[number]
            write, keep, new, show = summed.chunk(4, 1)
            cell = torch.sigmoid(keep) * cell + torch.sigmoid(write) * torch.tanh(new)
            hidden = torch.sigmoid(show) * torch.tanh(norm_cell(cell, number))
            return hidden if project is None else hidden @ project, cell

        return step

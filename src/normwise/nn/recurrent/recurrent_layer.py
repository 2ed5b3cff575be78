"""Base of all recurrent layers: arguments, layers, directions, states and forms of the input."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from normwise.errors import ArgumentError, NormwiseError, ShapeError
from normwise.nn.layer_path import named_error
from normwise.nn.recurrent.packing import Packing, pack
from normwise.nn.tools.scripted import NotScriptable
from normwise.nn.tools.traced_leaf import is_traced, leaf_call

#: Function that normalises ``(n, C)`` with the statistics of a time step.
StepNorm = Callable[[Tensor, int], Tensor]


class Recurrent(NotScriptable, ABC):
    """Recurrent layers of one or two directions; a subclass defines the step."""

    #: Output size of a step's linear maps, in multiples of the hidden size.
    gates: ClassVar[int]
    #: Number of biases, in multiples of the hidden size.
    biases: ClassVar[int]
    #: Names of the states that are passed from step to step, the output first.
    states: ClassVar[tuple[str, ...]]

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int,
        bias: bool,
        batch_first: bool,
        dropout: float,
        bidirectional: bool,
        proj_size: int,
    ) -> None:
        super().__init__()
        for name, value in (
            ("input_size", input_size),
            ("hidden_size", hidden_size),
            ("num_layers", num_layers),
        ):
            if value < 1:
                raise ArgumentError(f"{name} must be 1 or more, got {value}")
        if not 0 <= dropout <= 1:
            raise ArgumentError(f"dropout must be a probability from 0 to 1, got {dropout}")
        if not 0 <= proj_size < hidden_size:
            raise ArgumentError(f"proj_size must be from 0 to hidden_size - 1, got {proj_size}")
        self.input_size, self.hidden_size, self.num_layers = input_size, hidden_size, num_layers
        self.bias, self.batch_first, self.dropout = bias, batch_first, float(dropout)
        self.bidirectional, self.proj_size = bidirectional, proj_size

    def _make(self, device: torch.device | str | int | None, dtype: torch.dtype | None) -> None:
        """Make parameters and norms, after all arguments are known."""
        made: dict[str, Any] = {"device": device, "dtype": dtype}
        for layer in range(self.num_layers):
            features = self.input_size if layer == 0 else self.output_size * self.directions
            for name in self._names(layer):
                rows = self.gates * self.hidden_size
                self._add(f"weight_ih_{name}", rows, features, **made)
                self._add(f"weight_hh_{name}", rows, self.output_size, **made)
                if self.bias:
                    self._add(f"bias_{name}", self.biases * self.hidden_size, **made)
                if self.proj_size:
                    self._add(f"weight_hr_{name}", self.proj_size, self.hidden_size, **made)
                for kind, (parts, bias) in self._norms().items():
                    self.add_module(f"norm_{kind}_{name}", self._make_norm(parts, bias=bias, **made))
        self.reset_parameters()

    @property
    def directions(self) -> int:
        """Return 1, or 2 if the sequence is also read backwards."""
        return 2 if self.bidirectional else 1

    @property
    def output_size(self) -> int:
        """Return the size of one direction's output."""
        return self.proj_size or self.hidden_size

    @property
    def all_names(self) -> tuple[str, ...]:
        """Return the suffixes of parameter names for each layer and direction: ``l0``, ``l0_reverse``, ``l1`` ..."""
        return tuple(name for layer in range(self.num_layers) for name in self._names(layer))

    def reset_parameters(self) -> None:
        r"""Draw the weights as torch's layers do, from the uniform distribution on :math:`\pm 1/\sqrt{H}`.

        With the same seed they are those of ``torch.nn.LSTM`` or ``GRU``. Biases are 0, and norms are reset.
        """
        bound = 1 / math.sqrt(self.hidden_size)
        for name in self.all_names:
            nn.init.uniform_(self.get_parameter(f"weight_ih_{name}"), -bound, bound)
            nn.init.uniform_(self.get_parameter(f"weight_hh_{name}"), -bound, bound)
            if self.bias:
                # Torch's layers draw two biases here: so do we, to keep the next weights the same.
                for _ in range(2):
                    torch.empty(self.gates * self.hidden_size).uniform_()
                nn.init.zeros_(self.get_parameter(f"bias_{name}"))
            if self.proj_size:
                nn.init.uniform_(self.get_parameter(f"weight_hr_{name}"), -bound, bound)
            for kind in self._norms():
                norm: Any = self.get_submodule(f"norm_{kind}_{name}")
                norm.reset_parameters()

    def flatten_parameters(self) -> None:
        """Do nothing: torch's layers have this method for cuDNN, and code written for them calls it."""

    def forward(
        self, input: Tensor | PackedSequence, hx: Any = None, *, lengths: Tensor | Sequence[int] | None = None
    ) -> tuple[Any, Any]:
        """Run over the sequences; see the class for shapes and errors."""
        if is_traced(input):
            return leaf_call(self, input, hx=hx, lengths=lengths)
        try:
            data, packing = pack(
                input, lengths, self.input_size, batch_first=self.batch_first, takes_none=self._takes_none()
            )
            states = self._begin(hx, data, packing)
        except NormwiseError as error:
            if torch.compiler.is_compiling():
                raise
            raise named_error(self, error) from None
        batch_sizes = self._all_steps(packing.batch_sizes, data.device)
        reversal = packing.reversal(data.device) if self.bidirectional else None
        ended: list[tuple[Tensor, ...]] = []
        for layer in range(self.num_layers):
            outputs: list[Tensor] = []
            for name in self._names(layer):
                backwards = reversal if name.endswith("_reverse") else None
                read = data if backwards is None else data[backwards]
                begin = tuple(state[len(ended)] for state in states)
                gates = nn.functional.linear(read, self.get_parameter(f"weight_ih_{name}"))
                steps, end = self._run(name, gates, batch_sizes, begin)
                output = torch.cat(steps)
                outputs.append(output if backwards is None else output[backwards])
                ended.append(end)
            data = outputs[0] if len(outputs) == 1 else torch.cat(outputs, 1)
            if self.dropout and layer < self.num_layers - 1:
                data = nn.functional.dropout(data, self.dropout, self.training)
        self._after(len(batch_sizes))
        last = tuple(packing.unsorted(torch.stack(of_state)) for of_state in zip(*ended, strict=True))
        if packing.like == "unbatched":
            last = tuple(state[:, 0] for state in last)
        return packing.unpacked(data, self.batch_first), last if len(self.states) > 1 else last[0]

    def _run(
        self, name: str, gates: Tensor, batch_sizes: Sequence[int], begin: tuple[Tensor, ...]
    ) -> tuple[list[Tensor], tuple[Tensor, ...]]:
        """Return the outputs of all steps of one direction of one layer, and the last states of all sequences."""
        step = self._step(name, gates, batch_sizes)
        state, ended = begin, []
        outputs: list[Tensor] = []
        # Split once: indexing in the loop would make the backward pass fill a tensor of all steps at each
        # step.
        for number, size in enumerate(batch_sizes):
            if size < len(state[0]):
                ended.append(tuple(part[size:] for part in state))
                state = tuple(part[:size] for part in state)
            state = step(number, state)
            outputs.append(state[0])
        ended.append(state)
        # The shortest sequences ended first, and are last.
        return outputs, tuple(torch.cat(parts[::-1]) for parts in zip(*ended, strict=True))

    def _begin(self, hx: Any, data: Tensor, packing: Packing) -> tuple[Tensor, ...]:
        """Return the initial states ``(layers * directions, N, size)``, in the order of the lengths."""
        given = (hx,) if len(self.states) == 1 and hx is not None else hx
        count = self.num_layers * self.directions
        sizes = (self.output_size, self.hidden_size)[: len(self.states)]
        if given is None:
            return tuple(data.new_zeros(count, packing.count, size) for size in sizes)
        if not isinstance(given, (tuple, list)) or len(given) != len(self.states):
            raise ArgumentError(f"expected the states ({', '.join(self.states)}), got {type(hx).__name__}")
        alone = packing.like == "unbatched"
        for name, state, size in zip(self.states, given, sizes, strict=True):
            expected = (count, size) if alone else (count, packing.count, size)
            if not isinstance(state, Tensor):
                raise ArgumentError(
                    f"expected {name} as a tensor of shape {expected}, got {type(state).__name__}"
                )
            if state.shape != expected:
                raise ShapeError(f"expected {name} of shape {expected}, got {tuple(state.shape)}")
        return tuple(packing.sorted(state[:, None] if alone else state) for state in given)

    def _names(self, layer: int) -> tuple[str, ...]:
        return (f"l{layer}", f"l{layer}_reverse")[: self.directions]

    def _add(self, name: str, *shape: int, **made: Any) -> None:
        self.register_parameter(name, nn.Parameter(torch.empty(*shape, **made)))

    def _bias(self, name: str) -> Tensor | None:
        return self.get_parameter(f"bias_{name}") if self.bias else None

    def _takes_none(self) -> bool:
        """Return whether a batch may be empty."""
        return False

    def _all_steps(self, batch_sizes: Sequence[int], device: torch.device) -> Sequence[int]:
        """Return the number of sequences at each step; 0 at steps that only sequences of other processes reach."""
        return batch_sizes

    def _after(self, steps: int) -> None:
        """Handle the end of the longest sequence, after a number of steps."""

    @abstractmethod
    def _norms(self) -> dict[str, tuple[tuple[int, ...], bool]]:
        """Return the sizes of the separately normalised parts of each norm of one direction, and whether it has a β."""

    @abstractmethod
    def _make_norm(self, parts: tuple[int, ...], *, bias: bool, **made: Any) -> nn.Module:
        """Return a norm of vectors with these parts."""

    @abstractmethod
    def _norm(self, kind: str, name: str) -> StepNorm:
        """Return a norm of one direction of one layer, for a step."""

    @abstractmethod
    def _inputs(
        self, name: str, gates: Tensor, batch_sizes: Sequence[int], bias: Tensor | None
    ) -> Sequence[Tensor]:
        """Return the input's contribution to the gates at each step: normalised ``gates`` (total, C) with the bias."""

    @abstractmethod
    def _step(
        self, name: str, gates: Tensor, batch_sizes: Sequence[int]
    ) -> Callable[[int, tuple[Tensor, ...]], tuple[Tensor, ...]]:
        """Return the function of a step on the states, given the inputs' contributions, ``(total, gates * H)``."""

    def extra_repr(self) -> str:
        """Return the arguments, for ``repr``."""
        options = {
            "num_layers": (self.num_layers, 1),
            "bias": (self.bias, True),
            "batch_first": (self.batch_first, False),
            "dropout": (self.dropout, 0.0),
            "bidirectional": (self.bidirectional, False),
            "proj_size": (self.proj_size, 0),
        }
        told = [f"{name}={value}" for name, (value, default) in options.items() if value != default]
        return ", ".join([str(self.input_size), str(self.hidden_size), *told])

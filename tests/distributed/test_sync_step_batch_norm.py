"""Recurrent layers synchronised over real processes, against one process with all sequences."""

from collections.abc import Sequence
from itertools import chain
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.utils.rnn import pack_sequence, pad_packed_sequence, pad_sequence

import normwise
from tests.support.oracles.recurrent_oracle import FEATURES, make
from tests.support.processes import run

#: Lengths of the sequences on each rank. Layers have statistics of their own for the first five steps.
SPLITS: dict[str, list[list[int]]] = {
    "2 and 2": [[7, 3], [5, 7]],
    "1 and 3": [[2], [4, 6, 6]],
    "1 and 1": [[4], [3]],
    "0 and 3": [[], [3, 7, 1]],
    "one is longest": [[6, 2], [2, 2, 1]],
    "only one alone": [[3], []],
}
#: The same for three ranks.
OF_THREE = {"2, 0 and 4": [[2, 5], [], [6, 1, 1, 3]], "1, 1 and 0": [[7], [4], []]}
LAYERS: dict[str, tuple[str, dict[str, Any]]] = {
    "LSTM": ("BatchNormLSTM", {}),
    "GRU": ("BatchNormGRU", {"momentum": None}),
    "LSTM of two layers and directions, projected": (
        "BatchNormLSTM",
        {"num_layers": 2, "bidirectional": True, "proj_size": 3, "batch_first": True},
    ),
    "GRU of two layers and directions": (
        "BatchNormGRU",
        {"num_layers": 2, "bidirectional": True, "bias": False},
    ),
}
PER_SEQUENCE = ("y", "x", "h0", "c0", "h", "c", "evaluated")


def _sequences(lengths: list[list[int]], seed: int) -> list[list[Tensor]]:
    generator = torch.Generator().manual_seed(seed)
    return [
        [torch.randn(length, FEATURES, generator=generator, dtype=torch.float64) for length in of_rank]
        for of_rank in lengths
    ]


def _drawn(shape: Sequence[int], seed: int) -> Tensor:
    """Return numbers that depend on shape and seed alone: gradients of outputs, and states to begin with."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def _padded(sequences: list[Tensor], layer: Any) -> Tensor:
    if not sequences:
        return torch.zeros((0, 9, FEATURES) if layer.batch_first else (9, 0, FEATURES), dtype=torch.float64)
    return pad_sequence(sequences, batch_first=layer.batch_first)


def _by_sequence(output: Tensor, lengths: list[int], batch_first: bool) -> list[Tensor]:
    rows = output if batch_first else output.transpose(0, 1)
    return [row[:length] for row, length in zip(rows, lengths, strict=True)]


def _step(layer: Any, sequences: list[Tensor], first: int, form: str) -> dict[str, list[Tensor]]:
    """Train one step; ``first`` is the number of the first of the sequences among those of all ranks."""
    lengths = [len(sequence) for sequence in sequences]
    numbers = range(first, first + len(sequences))
    leaves = [sequence.clone().requires_grad_() for sequence in sequences]
    states = 2 if isinstance(layer, normwise.nn.BatchNormLSTM) else 1
    sizes = (layer.output_size, layer.hidden_size)[:states]
    rows = layer.num_layers * layer.directions
    begin = [
        torch.cat(
            [torch.zeros(rows, 0, size).double(), *(_drawn((rows, 1, size), 100 + k) for k in numbers)], 1
        )
        for size in sizes
    ]
    for state in begin:
        state.requires_grad_()
    hx = tuple(begin) if states > 1 else begin[0]
    if form == "packed" and sequences:
        packed, last = layer(pack_sequence(leaves, enforce_sorted=False), hx)
        output = pad_packed_sequence(packed, batch_first=layer.batch_first)[0]
    else:
        output, last = layer(_padded(leaves, layer), hx, lengths=torch.tensor(lengths, dtype=torch.int64))
    last = last if states > 1 else (last,)
    outputs = _by_sequence(output, lengths, layer.batch_first)
    # An empty output is part of the loss, too: autograd has to reach the steps of other ranks.
    loss = torch.stack([state.sum() * 0 for state in last]).sum()
    if form != "last states alone":
        loss = loss + output.sum() * 0
        for number, of_sequence in zip(numbers, outputs, strict=True):
            loss = loss + (of_sequence * _drawn(of_sequence.shape, number)).sum()
    for at, number in enumerate(numbers):
        for seed, state in enumerate(last):
            loss = loss + (state[:, at] * _drawn(state[:, at].shape, 50 + 2 * number + seed)).sum()
    layer.zero_grad()
    loss.backward()
    found = {"y": [y.detach() for y in outputs], "x": [leaf.grad for leaf in leaves]}
    for name, state, start in zip("hc", last, begin, strict=False):
        found[name] = list(state.detach().unbind(1))
        found[f"{name}0"] = [] if start.grad is None else list(start.grad.unbind(1))
    return found


def _train(layer: Any, rank: int | None, split: str, form: str) -> dict[str, list[Tensor]]:
    """Train two steps on one rank, or, with None, on the sequences of all, and return all that came of it."""
    found: dict[str, list[Tensor]] = {}
    for number in range(2):
        lengths = (SPLITS | OF_THREE)[split]
        lengths = lengths if number == 0 else [of_rank[::-1] for of_rank in lengths]
        sequences = _sequences(lengths, number)
        own = list(chain.from_iterable(sequences)) if rank is None else sequences[rank]
        first = sum(map(len, sequences[: rank or 0]))
        result = _step(layer.train(), own, first, form)
        result |= {name: [parameter.grad.clone()] for name, parameter in layer.named_parameters()}
        result |= {name: [buffer.clone()] for name, buffer in layer.named_buffers()}
        lengths_here = [len(sequence) for sequence in own]
        with torch.no_grad():
            evaluated, _ = layer.eval()(
                _padded(own, layer), lengths=torch.tensor(lengths_here, dtype=torch.int64)
            )
        result["evaluated"] = _by_sequence(evaluated, lengths_here, layer.batch_first)
        found |= {f"{name} {number}": values for name, values in result.items()}
    return found


def _new(kind: str) -> Any:
    return make(LAYERS[kind][0], **LAYERS[kind][1])


CASES = [(kind, split, "padded") for kind in LAYERS for split in SPLITS] + [
    ("LSTM of two layers and directions, projected", "2 and 2", "packed"),
    ("GRU", "1 and 3", "packed"),
    ("LSTM", "0 and 3", "last states alone"),
]


CASES_OF_THREE = [(kind, split, "padded") for kind in LAYERS for split in OF_THREE]
Results = list[dict[str, list[Tensor]]]


def _on_rank(rank: int, cases: list[tuple[str, str, str]]) -> Results:
    return [
        _train(normwise.convert(_new(kind), "sync", timeout=30.0)[0], rank, split, form)
        for kind, split, form in cases
    ]


@pytest.fixture(scope="module")
def ranks() -> list[Results]:
    return run(_on_rank, 2, CASES)


@pytest.fixture(scope="module")
def three_ranks() -> list[Results]:
    return run(_on_rank, 3, CASES_OF_THREE)


def _compare(ranks: list[Results], cases: list[tuple[str, str, str]], case: int) -> None:
    kind, split, form = cases[case]
    expected = _train(_new(kind), None, split, form)
    parts = [of_rank[case] for of_rank in ranks]
    parameters = dict(_new(kind).named_parameters())
    for label, values in expected.items():
        name = label[:-2]
        of_ranks = [part[label] for part in parts]
        if name in PER_SEQUENCE:
            found = list(chain.from_iterable(of_ranks))
        elif name in parameters:
            found = [torch.stack([value for (value,) in of_ranks]).sum(0)]
        else:
            assert all(torch.equal(of_ranks[0][0], value) for (value,) in of_ranks), label
            found = of_ranks[0]
        assert len(found) == len(values)
        for one, other in zip(found, values, strict=True):
            torch.testing.assert_close(
                one, other, atol=1e-9, rtol=1e-9, msg=lambda text, label=label: f"{label}: {text}"
            )


@pytest.mark.parametrize("case", range(len(CASES)), ids=lambda case: ", ".join(CASES[case]))
def test_ranks_compute_what_one_process_computes_with_all_sequences(ranks: list[Results], case: int) -> None:
    _compare(ranks, CASES, case)


@pytest.mark.parametrize("case", range(len(CASES_OF_THREE)), ids=lambda case: ", ".join(CASES_OF_THREE[case]))
def test_three_ranks_do(three_ranks: list[Results], case: int) -> None:
    _compare(three_ranks, CASES_OF_THREE, case)

"""Sequences of several lengths, layers, and the oracle for them."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.support.oracles import recurrent_oracle
from tests.support.oracles.recurrent_oracle import FEATURES, LENGTHS, LONGEST, Oracle


@pytest.fixture
def oracle() -> Callable[[nn.Module, list[Tensor]], Oracle]:
    """Runs the oracle with a layer's weights and statistics over sequences (length, F)."""
    return recurrent_oracle.oracle


@pytest.fixture
def make() -> Callable[..., Any]:
    """A layer in float64, all of whose numbers are drawn, so that none is 0 or 1 by chance."""
    return recurrent_oracle.make


@pytest.fixture
def sequences() -> list[Tensor]:
    """Six of the lengths in LENGTHS, (length, F), float64."""
    generator = torch.Generator().manual_seed(1)
    return [torch.randn(length, FEATURES, generator=generator, dtype=torch.float64) for length in LENGTHS]


@pytest.fixture
def padded(sequences: list[Tensor]) -> Tensor:
    """The same as (N, L, F), with what is no number behind their ends."""
    rows = torch.full((len(sequences), LONGEST, FEATURES), float("nan"), dtype=torch.float64)
    for row, sequence in zip(rows, sequences, strict=True):
        row[: len(sequence)] = sequence
    return rows

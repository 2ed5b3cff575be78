"""The sections of a run: checks, which share the GPU, and figures, each of which has it to itself."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from benchmarks.cuda.checks.behaviour import check_behaviour
from benchmarks.cuda.checks.exactness import check_exactness
from benchmarks.cuda.checks.large import check_large
from benchmarks.cuda.checks.values import check_values
from benchmarks.cuda.figures.operators import (
    measure_against_compile,
    measure_host,
    measure_memory,
    measure_operators,
)
from benchmarks.cuda.figures.training_step import compile_ahead, measure_compiled_steps, measure_steps
from benchmarks.cuda.place import Place


@dataclass(frozen=True)
class Section:
    """One part of a run, which yields rows as they are found.

    Attributes:
        name: Its name among the rows.
        rows: The function that yields them.
        seconds: The time that it has at most.
        parts: Number of processes that share its work.
    """

    name: str
    rows: Callable[[Place], Iterator[dict[str, Any]]]
    seconds: float
    parts: int = 1


#: They run at the same time.
CHECKS = (
    Section("values", check_values, 120, parts=7),
    Section("behaviour", check_behaviour, 120),
    Section("exactness", check_exactness, 120),
    Section("large", check_large, 120),
    Section("ahead", compile_ahead, 120, parts=2),
)
#: One after the other, the most valuable first.
FIGURES = (
    Section("operators", measure_operators, 120),
    Section("host", measure_host, 20),
    Section("memory", measure_memory, 20),
    Section("steps", measure_steps, 90),
    Section("compiled operators", measure_against_compile, 60),
    Section("compiled steps", measure_compiled_steps, 150),
)
SECTIONS = {section.name: section for section in (*CHECKS, *FIGURES)}

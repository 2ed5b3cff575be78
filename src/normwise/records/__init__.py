"""What is measured, diagnosed and run, as frozen dataclasses with JSON."""

from normwise.records._json import from_plain, to_json, to_plain
from normwise.records.acceleration import Acceleration, LayerChange
from normwise.records.benchmark import Bandwidth, Benchmark, Comparison
from normwise.records.change import Change
from normwise.records.environment import Environment, usable_cores
from normwise.records.figure import Figure, Series
from normwise.records.run import Option, Point, Result, Run, RunConfig
from normwise.records.study import Effect, Finding, Source, Study, Verdict

__all__ = [
    "Acceleration",
    "Bandwidth",
    "Benchmark",
    "Change",
    "Comparison",
    "Effect",
    "Environment",
    "Figure",
    "Finding",
    "LayerChange",
    "Option",
    "Point",
    "Result",
    "Run",
    "RunConfig",
    "Series",
    "Source",
    "Study",
    "Verdict",
    "from_plain",
    "to_json",
    "to_plain",
    "usable_cores",
]

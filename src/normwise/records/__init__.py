"""What is measured, diagnosed and run, as frozen dataclasses with JSON."""

from normwise.records._json import from_json, from_plain, to_json, to_plain
from normwise.records.acceleration import Acceleration, LayerChange
from normwise.records.benchmark import Bandwidth, Benchmark, Comparison
from normwise.records.bias_removal import BiasRemoval
from normwise.records.calibration import Calibration, LayerCalibration, Order, VarianceKind
from normwise.records.change import Change
from normwise.records.conversion import Conversion
from normwise.records.environment import Environment, check_at_once, usable_cores
from normwise.records.figure import Figure, HeatMap, Series
from normwise.records.folding import Folding
from normwise.records.insertion import Insertion
from normwise.records.prediction import Prediction
from normwise.records.preparation import Preparation, Task
from normwise.records.recording import (
    LayerPoint,
    OverChannels,
    Recording,
    UnitPoint,
    WatchedLayer,
    WatchedStep,
)
from normwise.records.run import Option, Point, Result, Run, RunConfig
from normwise.records.saved import read_record, record_of
from normwise.records.study import Effect, Finding, Source, Study, Verdict

__all__ = [
    "Acceleration",
    "Bandwidth",
    "Benchmark",
    "BiasRemoval",
    "Calibration",
    "Change",
    "Comparison",
    "Conversion",
    "Effect",
    "Environment",
    "Figure",
    "Finding",
    "Folding",
    "HeatMap",
    "Insertion",
    "LayerCalibration",
    "LayerChange",
    "LayerPoint",
    "Option",
    "Order",
    "OverChannels",
    "Point",
    "Prediction",
    "Preparation",
    "Recording",
    "Result",
    "Run",
    "RunConfig",
    "Series",
    "Source",
    "Study",
    "Task",
    "UnitPoint",
    "VarianceKind",
    "Verdict",
    "WatchedLayer",
    "WatchedStep",
    "check_at_once",
    "from_json",
    "from_plain",
    "read_record",
    "record_of",
    "to_json",
    "to_plain",
    "usable_cores",
]

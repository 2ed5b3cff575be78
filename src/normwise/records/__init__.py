"""Records of measurements, diagnoses and runs, as frozen dataclasses with JSON."""

from normwise.records.benchmark import Bandwidth, Benchmark, Comparison
from normwise.records.calibration import Calibration, LayerCalibration, Order, VarianceKind
from normwise.records.doctor.examination import (
    SEVERITIES,
    Examination,
    Finding,
    LayerHealth,
    Measured,
    ProbeOutcome,
    Remedy,
    RuleText,
    Safety,
    Severity,
    Symptom,
    Treatment,
)
from normwise.records.doctor.examination_text import (
    examination_lines,
    examination_text,
    finding_text,
    measured_text,
    outcome_text,
    symptom_text,
)
from normwise.records.doctor.findings import findings_of
from normwise.records.doctor.treatment_proof import faults_of, proof_of
from normwise.records.environment import Environment, check_at_once, usable_cores
from normwise.records.figure import Figure, HeatMap, Series
from normwise.records.json_codec import from_json, from_plain, to_json, to_plain
from normwise.records.recording import (
    LayerPoint,
    OverChannels,
    Recording,
    UnitPoint,
    WatchedLayer,
    WatchedStep,
)
from normwise.records.study.case import Case, Effect, Family, Outcome
from normwise.records.study.claim_result import ClaimResult, Group, Verdict
from normwise.records.study.effect_words import (
    case_words,
    effect_words,
    estimate_words,
    interval_words,
    range_words,
    short,
    size_words,
)
from normwise.records.study.study import Study
from normwise.records.study.wording import Bilingual, Brief, Saying, Source
from normwise.records.surgery.acceleration import Acceleration, LayerChange
from normwise.records.surgery.bias_removal import BiasRemoval
from normwise.records.surgery.change import Change
from normwise.records.surgery.conversion import Conversion
from normwise.records.surgery.folding import Folding
from normwise.records.surgery.freezing import Freezing
from normwise.records.surgery.insertion import Insertion
from normwise.records.surgery.porting import PortedLayer, Porting
from normwise.records.training.brightness import Brightness
from normwise.records.training.evaluation import Evaluation
from normwise.records.training.input_spec import InputSpec, Task
from normwise.records.training.prediction import Prediction
from normwise.records.training.run import Option, Point, ProcessSpan, Result, Run, RunConfig
from normwise.records.training.saved import read_record, record_of

__all__ = [
    "SEVERITIES",
    "Acceleration",
    "Bandwidth",
    "Benchmark",
    "BiasRemoval",
    "Bilingual",
    "Brief",
    "Brightness",
    "Calibration",
    "Case",
    "Change",
    "ClaimResult",
    "Comparison",
    "Conversion",
    "Effect",
    "Environment",
    "Evaluation",
    "Examination",
    "Family",
    "Figure",
    "Finding",
    "Folding",
    "Freezing",
    "Group",
    "HeatMap",
    "InputSpec",
    "Insertion",
    "LayerCalibration",
    "LayerChange",
    "LayerHealth",
    "LayerPoint",
    "Measured",
    "Option",
    "Order",
    "Outcome",
    "OverChannels",
    "Point",
    "PortedLayer",
    "Porting",
    "Prediction",
    "ProbeOutcome",
    "ProcessSpan",
    "Recording",
    "Remedy",
    "Result",
    "RuleText",
    "Run",
    "RunConfig",
    "Safety",
    "Saying",
    "Series",
    "Severity",
    "Source",
    "Study",
    "Symptom",
    "Task",
    "Treatment",
    "UnitPoint",
    "VarianceKind",
    "Verdict",
    "WatchedLayer",
    "WatchedStep",
    "case_words",
    "check_at_once",
    "effect_words",
    "estimate_words",
    "examination_lines",
    "examination_text",
    "faults_of",
    "finding_text",
    "findings_of",
    "from_json",
    "from_plain",
    "interval_words",
    "measured_text",
    "outcome_text",
    "proof_of",
    "range_words",
    "read_record",
    "record_of",
    "short",
    "size_words",
    "symptom_text",
    "to_json",
    "to_plain",
    "usable_cores",
]

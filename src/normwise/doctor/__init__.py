"""The doctor: from "evaluation is bad" to the cause, the evidence and the healed model."""

from normwise.doctor.diagnose import diagnose
from normwise.doctor.diagnosis import Diagnosis
from normwise.doctor.examine import examine
from normwise.doctor.facts.facts import Facts
from normwise.doctor.find_rules import all_rules, rules_named
from normwise.doctor.rule import Case, Rule
from normwise.doctor.training.check_every import check_every

__all__ = [
    "Case",
    "Diagnosis",
    "Facts",
    "Rule",
    "all_rules",
    "check_every",
    "diagnose",
    "examine",
    "rules_named",
]

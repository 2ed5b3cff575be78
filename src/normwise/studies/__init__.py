"""Claims about batch normalization as experiments: protocol, runs, rule, verdict."""

from normwise.studies.claim import Claim
from normwise.studies.cluster import Cluster
from normwise.studies.find_claims import all_claims, claims_named
from normwise.studies.preset import PRESETS, Network, Preset, preset_named
from normwise.studies.runner import run_study

__all__ = [
    "PRESETS",
    "Claim",
    "Cluster",
    "Network",
    "Preset",
    "all_claims",
    "claims_named",
    "preset_named",
    "run_study",
]

"""Record of a study."""

import math
from dataclasses import dataclass

from normwise.records.environment import Environment
from normwise.records.study.claim_result import ClaimResult


@dataclass(frozen=True)
class Study:
    """All findings of one study.

    Attributes:
        preset: Name of the preset.
        data: Names of the data sets.
        date: Time of its end, ISO 8601, UTC.
        runs: Number of different runs of all findings.
        cpu_seconds: Total time of these runs, on one thread each.
        environment: Machine and versions.
        findings: Outcomes, in the order of the claims.
        wall_seconds: Time of the last start of the study, without runs that were already finished; NaN in older
            studies.
    """

    preset: str
    data: str
    date: str
    runs: int
    cpu_seconds: float
    environment: Environment
    findings: tuple[ClaimResult, ...]
    wall_seconds: float = math.nan

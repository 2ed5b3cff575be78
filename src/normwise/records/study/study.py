"""All that one study found."""

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
        date: When it was finished, ISO 8601, UTC.
        runs: How many different runs all findings rest on.
        cpu_seconds: What these runs took, added up, on one thread each.
        environment: The machine and versions.
        findings: In the order of the claims.
        wall_seconds: What the study took when it was last given, finished runs taken as they were; NaN in studies
            of before this was kept.
    """

    preset: str
    data: str
    date: str
    runs: int
    cpu_seconds: float
    environment: Environment
    findings: tuple[ClaimResult, ...]
    wall_seconds: float = math.nan

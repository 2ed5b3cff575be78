"""Comparison of two configurations by their steps to a target accuracy."""

import math
from collections.abc import Sequence

from normwise.records import Bilingual, Family, Run, RunConfig
from normwise.studies.arms import reached, steps_between, steps_until, unseen_steps
from normwise.studies.case_plan import CasePlan
from normwise.studies.judging.bounds import LOWER, UPPER
from normwise.studies.judging.styles import LABEL

#: Words for norms that stand in no other claim.
NORM_LABEL = {**LABEL, "noisy_batch": "with BN, shift put back"}


def steps_ratio(
    name: str,
    gloss: Bilingual,
    family: Family,
    arms: tuple[RunConfig, RunConfig],
    *,
    target: float,
    smallest: float,
) -> CasePlan:
    """Return the case whose effect is the steps of the first over those of the second.

    A run that never reached the target counts with its whole budget, and the ratio is a bound then.
    """

    def open_by(one: Run, other: Run) -> float:
        (low, high), (other_low, other_high) = steps_between(one, target), steps_between(other, target)
        return math.sqrt(high / low * other_high / other_low)

    def note(one: Sequence[Run], other: Sequence[Run]) -> str:
        told = f"learning rates {one[0].config.lr:g} and {other[0].config.lr:g}"
        for runs, bound in ((one, LOWER), (other, UPPER)):
            missed = sum(not reached(run, target) for run in runs)
            if missed:
                told += (
                    f"; {missed} of {len(runs)} {NORM_LABEL[runs[0].config.norm]} never got there: {bound}"
                )
        return told

    first, second = (NORM_LABEL[config.norm] for config in arms)
    return CasePlan(
        name,
        gloss,
        family,
        arms,
        value=lambda one, other: steps_until(one, target) / steps_until(other, target),
        effect=f"steps {first} over steps {second}",
        unit="times",
        smallest=smallest,
        resolution=open_by,
        unseen=lambda one, other: unseen_steps(one, other, target),
        note=note,
    )

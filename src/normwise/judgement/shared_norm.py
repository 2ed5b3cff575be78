"""Judgement for BN105: the effect of one BN layer that normalises several distributions."""

import math

from normwise.judgement.three_passes import ThreePasses
from normwise.records import Severity

#: Distance of outputs with batch statistics from those in evaluation, in standard deviations, up to which
#: they agree.
_SAME_OUTPUTS = 0.25


def severity_of_sharing(passes: ThreePasses) -> Severity:
    """Return a note if evaluation is as good as with the statistics of each call, an error if it is bad."""
    found = passes.gap("running", "batch")
    if found is None:
        return "info" if passes.batch.distance <= _SAME_OUTPUTS else "warning"
    gap, noise = found
    loss = abs(passes.batch.loss)
    if gap <= max(2 * noise, 0.05 * loss, 0.02):
        return "info"
    return "error" if gap > max(2 * noise, loss, 0.1) else "warning"


def cost_of_sharing(passes: ThreePasses) -> str:
    """Compare evaluation with evaluation by the statistics of each call."""
    running, batch = passes.running.loss, passes.batch.loss
    if math.isnan(running) or math.isnan(batch):
        return passes.cost_of_statistics
    return f"evaluation loss {running:.3g}; with the statistics of each call {batch:.3g}"

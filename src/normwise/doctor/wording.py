"""Sentences that several rules share."""

from normwise.doctor.facts.facts import Facts
from normwise.records import outcome_text


def cost_of_statistics(facts: Facts) -> str:
    """Compare evaluation with the running statistics and with exact ones; empty where nothing was measured."""
    probe = facts.probe
    running, exact = outcome_text(probe.running), outcome_text(probe.exact)
    if running or exact:
        return f"evaluation {running}; with exact statistics {exact}"
    distance = probe.running.distance
    return "" if distance != distance else f"outputs in evaluation are off by {distance:.2g} σ"

"""Sentences that are common to several rules."""

from normwise.doctor.facts.facts import Facts


def calibration(facts: Facts, model: str = "model", *, include_frozen: bool = False) -> str:
    """Return the call that calibrates a model; with several processes, on the data of all of them."""
    frozen = ", include_frozen=True" if include_frozen else ""
    group = ", group=torch.distributed.group.WORLD" if facts.processes > 1 else ""
    return f"normwise.calibrate({model}, loader{frozen}{group})"


def cost_of_batch_mates(dependence: float) -> str:
    """Return a sentence on how far outputs depend on the other samples of a batch; empty if not measured."""
    if dependence != dependence:
        return ""
    return f"outputs of a sample move by {dependence:.2g} σ when half of its batch is taken away"


def scatter_of_batches(facts: Facts, path: str) -> float | None:
    """Return the scatter of a layer's batch means, in σ: the median over channels; None if not measured."""
    moments = facts.probe.moments.get(path) if "data" in facts.has else None
    if moments is None or len(moments.means) < 2:
        return None
    return moments.mean_noise.nan_to_num().median().item()

"""BN511: running statistics that differ between processes."""

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn

from normwise.doctor.facts.facts import Facts
from normwise.doctor.facts.passes.running_statistics import (
    averaging_noise,
    error_of,
    is_off,
)
from normwise.doctor.facts.processes.rank_facts import RankNorm, ranks_text
from normwise.doctor.rule import Case, Rule, measured
from normwise.errors import NormwiseError
from normwise.records import SEVERITIES, Severity, Source, Symptom
from normwise.statistics import merge_statistics
from normwise.surgery.core.decision import LeftError

#: Distance of a process from all of them together, in σ, from which evaluation is wrong by it.
_WRONG = 0.5
#: The same up to which the statistics are alike: that of one step on shuffled data.
_ALIKE = 0.02


class UnmergedStatistics(Rule):
    """Running statistics that differ between processes."""

    code = "BN511"
    name = "unmerged-statistics"
    severity = "warning"
    needs = ("processes",)
    finds = "Running means and variances of a layer that are different on each process of a group."
    why = (
        "A local BN layer sees only the data of its process, and a checkpoint holds the statistics of rank 0. What "
        "the other processes saw is lost, and their scores in evaluation differ from that of the checkpoint. "
        "DistributedDataParallel copies the buffers of rank 0 over those of the others before each forward pass. "
        "That hides the difference until the next step, and loses the same information."
    )
    measured = (
        "The running statistics of all processes are merged, as merge_statistics does: the mean of the means, and "
        "the mean of the variances plus the variance between the means. The distance of a process is the root mean "
        "square difference between values normalised by its statistics and by the merged ones, in standard "
        "deviations. From 0.5 σ on it is an error; below 0.15 σ, or below 4 times the noise of a running average if "
        "data show that noise, it is a note; up to 0.02 σ the statistics count as equal."
    )
    fixed = (
        "normwise.statistics.merge_statistics gives all processes the merged statistics; call it before a checkpoint "
        "is written and before evaluation. That is safe, and proven by measuring again on all processes. Synchronised "
        "layers have no difference to merge."
    )
    safety = "safe"
    sources = (
        Source("pytorch issue 13711", "", "https://github.com/pytorch/pytorch/issues/13711"),
        Source("timm issue 110", "", "https://github.com/huggingface/pytorch-image-models/issues/110"),
        Source(
            "Chan, Golub & LeVeque 1983", "equation 2.1", "https://doi.org/10.1080/00031305.1983.10483115"
        ),
    )

    supersedes = ("BN201",)

    def evidence(self, facts: Facts) -> Iterable[Symptom]:
        """Return the layers in which a process is far from all processes together."""
        broadcasts = any(rank.broadcasts for rank in facts.ranks)
        for path, norm in facts.ranks[0].norms.items():
            merged, held = _merged(facts, path)
            if merged is None:
                continue
            distances = {rank: _distance(each, merged) for rank, each in held.items()}
            worst = max(distances, key=lambda rank: distances[rank])
            if distances[worst] <= _ALIKE:
                continue
            evidence = [measured(f"values normalised on {ranks_text([worst])} off by", distances[worst], "σ")]
            if worst != facts.ranks[0].rank and facts.ranks[0].rank in distances:
                evidence.append(
                    measured(f"on {ranks_text([facts.ranks[0].rank])}", distances[facts.ranks[0].rank], "σ")
                )
            if noise := _noise(facts, path):
                evidence.append(measured("noise of a running average", noise, "σ"))
            detail = "rank 0's are copied over the others before each forward pass" if broadcasts else ""
            yield Symptom(path, norm.kind, tuple(evidence), detail, distances[worst])

    def explained(self, facts: Facts, symptoms: Sequence[Symptom]) -> set[str]:
        """Return the layers in which the merged statistics are those of the data."""
        if "data" not in facts.has or facts.probe.failed:
            return set()
        right = set()
        for path in (symptom.path for symptom in symptoms):
            merged, exact = _merged(facts, path)[0], facts.probe.exact_statistics.get(path)
            if merged is not None and exact is not None:
                error = error_of(*merged, exact, facts.norms[path].eps)
                right |= set() if is_off(error, _noise(facts, path)) else {path}
        return right

    def severity_of(self, facts: Facts, symptoms: Sequence[Symptom]) -> Severity:
        """Judge by the distance, and by what evaluation loses where that is the reason."""
        distances = [one.badness for one in symptoms if is_off(one.badness, _noise(facts, one.path))]
        if not distances:
            return "info"
        severity: Severity = "error" if max(distances) >= _WRONG else "warning"
        if not self.explained(facts, symptoms) or not facts.probe.exact_helps:
            return severity
        by_cost = facts.probe.severity_by_cost
        return by_cost if SEVERITIES.index(by_cost) < SEVERITIES.index(severity) else severity

    def message(self, facts: Facts, symptoms: Sequence[Symptom]) -> str:
        """Say how far a process is off."""
        worst = symptoms[0]
        return (
            f"The running statistics of {worst.path or 'the model'} differ between the {len(facts.ranks)} processes, "
            f"by up to {worst.badness:.2g} σ from those of all together; a checkpoint keeps only those of one."
        )

    def fix(self, facts: Facts, symptoms: Sequence[Symptom]) -> str:
        """Merge them."""
        return (
            "# on all processes, before a checkpoint and before evaluation:\n"
            "normwise.statistics.merge_statistics(model, torch.distributed.group.WORLD)"
        )

    def heal(self, facts: Facts, model: nn.Module, symptoms: Sequence[Symptom]) -> str:
        """Merge those of the processes' copies."""
        if facts.meeting is None:
            raise LeftError("that needs the processes")
        frozen = [symptom.path for symptom in symptoms if facts.norms[symptom.path].frozen]
        if frozen:
            raise LeftError(f"layer {frozen[0]!r} is frozen: load the same weights on all processes")
        try:
            merge_statistics(model, facts.meeting.group)
        except NormwiseError as error:
            raise LeftError(str(error)) from error
        return f"statistics of {len(facts.ranks)} processes merged"

    def sick(self) -> Case:
        """Return two processes that saw data of different brightness."""
        torch.manual_seed(0)
        models = [nn.Sequential(nn.BatchNorm1d(4), nn.Linear(4, 3)) for _ in range(2)]
        for model, brightness in zip(models, (0.0, 2.0), strict=True):
            for _ in range(100):
                model(torch.randn(64, 4) + brightness)
        first, second = (model.eval() for model in models)
        return Case(first, ranks=(Case(second),))

    def healthy(self) -> Case:
        """Return two that saw the same kind of data."""
        torch.manual_seed(0)
        models = [nn.Sequential(nn.BatchNorm1d(4, momentum=None), nn.Linear(4, 3)) for _ in range(2)]
        for model in models:
            for _ in range(100):
                model(torch.randn(64, 4))
        first, second = (model.eval() for model in models)
        return Case(first, ranks=(Case(second),))


def _is_usable(norm: RankNorm) -> bool:
    """Return whether there are statistics and all are valid; another rule reports invalid ones."""
    if norm.mean is None or norm.variance is None:
        return False
    return bool(norm.mean.isfinite().all() and norm.variance.isfinite().all() and (norm.variance >= 0).all())


def _merged(facts: Facts, path: str) -> tuple[tuple[Tensor, Tensor] | None, dict[int, RankNorm]]:
    """Return the merged mean and variance of a slot, and the ranks that they are of; None for less than two."""
    held = {rank.rank: each for rank in facts.ranks if _is_usable(each := rank.norms[path])}
    if len(held) < 2:
        return None, held
    steps = [1 if norm.steps is None else max(norm.steps, 0) for norm in held.values()]
    weights = torch.tensor(steps, dtype=torch.float64)
    # A plain average of the batches has more weight with each; a running average covers as many everywhere.
    weights = weights if facts.norms[path].momentum is None else weights.sign()
    weights = weights if weights.any() else torch.ones_like(weights)
    weights = (weights / weights.sum())[:, None]
    means = torch.stack([_double(norm.mean) for norm in held.values()])
    variances = torch.stack([_double(norm.variance) for norm in held.values()])
    mean = (weights * means).sum(0)
    return (mean, (weights * (variances + (means - mean).square())).sum(0)), held


def _distance(norm: RankNorm, merged: tuple[Tensor, Tensor]) -> float:
    """Return how far values normalised by a rank's statistics are from those by the merged ones, in σ."""
    return error_of(_double(norm.mean), _double(norm.variance), merged, norm.eps)


def _noise(facts: Facts, path: str) -> float:
    """Return the error of a running average over batches of these data, in σ; 0 where it is not known."""
    if "data" not in facts.has or facts.probe.failed:
        return 0.0
    moments = facts.probe.moments.get(path)
    return averaging_noise(facts.norms[path], moments) if moments is not None and moments.counts else 0.0


def _double(tensor: Tensor | None) -> Tensor:
    return torch.empty(0) if tensor is None else tensor.double()

"""BN513: synchronised layers that are called in different orders on different processes."""

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn

from normwise.doctor.facts.facts import Facts
from normwise.doctor.facts.processes.rank_facts import RankFacts, ranks_text
from normwise.doctor.rule import Case, Rule, measured
from normwise.nn import SyncBatchNorm
from normwise.records import Source, Symptom


class RankDependentBranch(Rule):
    """Synchronised layers that are called in different orders on different processes."""

    code = "BN513"
    name = "rank-dependent-branch"
    severity = "error"
    needs = ("data", "processes")
    finds = (
        "Processes whose training steps call the synchronised BN layers in different orders, or call a layer on some "
        "processes only, because of a branch on the rank, on the data, or on a random number."
    )
    why = (
        "Each call of a synchronised layer waits for the same call on all processes. If one process takes another "
        "branch, they wait for each other forever, or add up statistics of different layers. The training hangs, "
        "often only after many iterations, when the data first lead to the branch."
    )
    measured = (
        "Each process makes one training step on its first batch with synchronisation switched off, so that nothing "
        "waits, and records its calls of synchronised layers, including those of a recomputation. The processes "
        "compare the calls, separately for each process group."
    )
    fixed = (
        "Call the layers on all processes in the same order: take the branch on all of them, with a part of the data "
        "that may be empty, or leave the layer in the branch local. Draw random numbers that choose a branch from a "
        "generator with the same seed everywhere."
    )
    safety = "manual"
    sources = (
        Source("pytorch issue 91872", "", "https://github.com/pytorch/pytorch/issues/91872"),
        Source("pytorch issue 38174", "", "https://github.com/pytorch/pytorch/issues/38174"),
    )

    def evidence(self, facts: Facts) -> Iterable[Symptom]:
        """Return the layers where the calls of the processes first differ, one for each group that synchronises."""
        everywhere = tuple(rank.rank for rank in facts.ranks)
        groups = dict.fromkeys(call.members for rank in facts.ranks for call in rank.calls)
        for members in groups:
            calls = {
                rank.rank: [call.path for call in rank.calls if call.members == members]
                for rank in facts.ranks
                if rank.rank in (members or everywhere)
            }
            if len({tuple(paths) for paths in calls.values()}) > 1:
                yield _symptom(facts, calls)

    def message(self, facts: Facts, symptoms: Sequence[Symptom]) -> str:
        """Say where the calls first differ."""
        worst = symptoms[0]
        return (
            f"The processes call the synchronised layers in different orders: call {int(worst.evidence[0].value)} of "
            f"a training step is {worst.detail}. Training hangs or fails there."
        )

    def fix(self, facts: Facts, symptoms: Sequence[Symptom]) -> str:
        """Take the branch on all processes."""
        path = symptoms[0].path
        return (
            f"# call {path!r} on all processes, with the part of the batch that belongs there, which may be empty:\n"
            "chosen = condition(x)  # bool, one per sample\n"
            "y = branch(x[chosen])"
        )

    def sick(self) -> Case:
        """Return two processes, one of which takes a branch with a synchronised layer."""
        x = torch.randn(64, 4, generator=torch.Generator().manual_seed(0))
        return Case(_model(x, True), [x], ranks=(Case(_model(x, False), [x]),))

    def healthy(self) -> Case:
        """Return two that both take it."""
        x = torch.randn(64, 4, generator=torch.Generator().manual_seed(0))
        return Case(_model(x, True), [x], ranks=(Case(_model(x, True), [x]),))


class _Branching(nn.Module):
    """A network with a branch that may be taken."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Linear(4, 8, bias=False), SyncBatchNorm(8, momentum=None), nn.ReLU())
        self.extra = nn.Sequential(nn.Linear(8, 8, bias=False), SyncBatchNorm(8, momentum=None), nn.ReLU())
        self.last = nn.Linear(8, 3)
        self.takes = True

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        return self.last(x + self.extra(x) if self.takes else x)


def _model(x: Tensor, takes: bool) -> nn.Module:
    torch.manual_seed(0)
    model = _Branching()
    for _ in range(50):
        model(x)
    model.takes = takes
    return model.eval()


def _symptom(facts: Facts, calls: dict[int, list[str]]) -> Symptom:
    at = next(
        number
        for number in range(max(map(len, calls.values())))
        if len({tuple(paths[number : number + 1]) for paths in calls.values()}) > 1
    )
    ranks_of: dict[str | None, list[int]] = {}
    for rank, paths in calls.items():
        ranks_of.setdefault(paths[at] if at < len(paths) else None, []).append(rank)
    path = next(each for each in ranks_of if each is not None)
    parts = [
        f"{'none' if each is None else repr(each)} on {ranks_text(ranks)}{_failure(facts.ranks, ranks)}"
        for each, ranks in ranks_of.items()
    ]
    counts = sorted(len(paths) for paths in calls.values())
    evidence = (
        measured("they differ at call", at + 1),
        measured("fewest synchronised calls in a step", counts[0]),
        measured("most", counts[-1]),
    )
    kind = next(norm.kind for norm in facts.ranks[0].norms.values() if norm.layer_path == path)
    return Symptom(path, kind, evidence, " and ".join(parts), badness=1 / (at + 1))


def _failure(facts: Sequence[RankFacts], ranks: Sequence[int]) -> str:
    """Return the reason why the step ended there, if it did on one of some ranks."""
    said = next((rank.failed for rank in facts if rank.rank in ranks and rank.failed), "")
    return f" (the step fails: {said})" if said else ""

"""BN306: outputs in evaluation that depend on the other samples of the batch."""

from collections import Counter
from collections.abc import Iterable, Sequence

import torch
from torch import nn
from torch.nn import functional as F

from normwise.doctor.facts.facts import Facts
from normwise.doctor.rule import Case, Rule, measured
from normwise.doctor.wording import cost_of_batch_mates
from normwise.records import Source, Symptom
from normwise.surgery.proof.digits import FLOAT32, epsilon_of_computation

#: Share of their own scatter by which outputs move at most by rounding, in float32 and with fewer digits.
_ROUNDING, _COARSE_ROUNDING = 1e-3, 0.05


class BatchMatesLeak(Rule):
    """Outputs in evaluation that depend on the other samples of the batch."""

    code = "BN306"
    name = "batch-mates-leak"
    severity = "error"
    needs = ("data",)
    finds = (
        "A model in evaluation mode whose output for a sample depends on the other samples of the batch: batch_norm "
        "is called as a function with training=True or without running statistics, or the forward of a custom layer "
        "normalises by the batch."
    )
    why = (
        "A prediction should not depend on what else is predicted with it. Through the batch statistics each sample "
        "contains information about the others: predictions change with the batch size and the order of the data, "
        "and a network can learn to cheat if the batch reveals the answer."
    )
    measured = (
        "In evaluation, the outputs of the first half of a batch are compared with those of the same samples without "
        "the other half. The same pass is searched for calls that normalise by the batch, including functional code. "
        "Nothing is reported without such a call, or if the outputs don't change."
    )
    fixed = (
        "Pass training=self.training and buffers with running statistics to batch_norm, or use a layer, which does "
        "that. You have to make this change in your code."
    )
    safety = "manual"
    sources = (
        Source("moco issue 137", "", "https://github.com/facebookresearch/moco/issues/137"),
        Source("Wu & Johnson 2021", "section 6", "https://arxiv.org/abs/2105.07576"),
    )

    def evidence(self, facts: Facts) -> Iterable[Symptom]:
        """Return the calls by the batch, where outputs depend on it."""
        if not facts.dependence > _ROUNDING or (
            facts.dependence <= _COARSE_ROUNDING and _has_few_digits(facts)
        ):
            return
        moves = measured("outputs move with the batch by", facts.dependence, "σ")
        calls = Counter(
            (op.path, "" if op.module is None else type(op.module).__name__)
            for op in facts.flow.ops
            if op.by_batch
        )
        for (path, kind), count in calls.items():
            detail = f"calls batch_norm by the batch {'once' if count == 1 else f'{count} times'}"
            yield Symptom(path, kind, (moves,), detail, float(count))
        for path in dict.fromkeys(call.layer_path for call in facts.evaluation_calls if call.by_batch):
            if path not in {found for found, _ in calls}:
                yield Symptom(
                    path, type(facts.layers[path].layer).__name__, (moves,), "normalises by the batch"
                )

    def message(self, facts: Facts, symptoms: Sequence[Symptom]) -> str:
        """Count the places."""
        places = "one place normalises" if len(symptoms) == 1 else f"{len(symptoms)} places normalise"
        return f"Outputs in evaluation depend on the other samples of the batch: {places} by it."

    def cost(self, facts: Facts, symptoms: Sequence[Symptom]) -> str:
        """Say how far outputs move."""
        return cost_of_batch_mates(facts.dependence)

    def fix(self, facts: Facts, symptoms: Sequence[Symptom]) -> str:
        """Call it with running statistics and the mode."""
        return (
            "# in the forward of the module:\n"
            "F.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias, training=self.training)"
        )

    def sick(self) -> Case:
        """Return a module that calls batch_norm with training=True, whatever its mode."""

        class Block(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.linear, self.norm = nn.Linear(4, 8, bias=False), nn.BatchNorm1d(8)
                self.head = nn.Linear(8, 3)

            def forward(self, x: torch.Tensor) -> torch.Tensor:
                x = F.relu(self.norm(self.linear(x)))
                return self.head(F.batch_norm(x, None, None, training=True))

        torch.manual_seed(0)
        model, x = Block(), torch.randn(64, 4)
        for _ in range(100):
            model(x)
        return Case(model.eval(), [x])

    def healthy(self) -> Case:
        """Return one that has a layer instead."""

        class Block(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.linear, self.norm = nn.Linear(4, 8, bias=False), nn.BatchNorm1d(8)
                self.head, self.second = nn.Linear(8, 3), nn.BatchNorm1d(8, affine=False)

            def forward(self, x: torch.Tensor) -> torch.Tensor:
                x = F.relu(self.norm(self.linear(x)))
                return self.head(self.second(x))

        torch.manual_seed(0)
        model, x = Block(), torch.randn(64, 4)
        for _ in range(100):
            model(x)
        return Case(model.eval(), [x])


def _has_few_digits(facts: Facts) -> bool:
    """Return whether the model computes with fewer digits than float32 has, such as under autocast or with TF32."""
    batch = facts.batches.batches[0]
    with facts.in_evaluation():
        arguments = facts.task.moved((batch.args, batch.kwargs))
        return epsilon_of_computation(facts.task.called, False, arguments) > FLOAT32

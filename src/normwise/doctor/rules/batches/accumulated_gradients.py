"""BN504: gradients accumulated over batches that each move the statistics."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import nn

from normwise.doctor.facts.facts import Facts
from normwise.doctor.rule import Case, Rule, measured
from normwise.records import Source, Symptom


class AccumulatedGradients(Rule):
    """Gradients accumulated over batches that each move the statistics."""

    code = "BN504"
    name = "accumulated-gradients"
    severity = "warning"
    needs = ("data", "loss")
    finds = "A training step that makes several forward and backward passes before one step of the optimiser."
    why = (
        "For every layer except BN, accumulated gradients are those of one large batch. BN normalises each "
        "micro-batch by itself, with the noise of its small size, and updates the running statistics once for each. "
        "After a step of k micro-batches, (1 - m)^k of the old statistics is left instead of 1 - m."
    )
    measured = (
        "The rule makes one training step with loss(model, batch), which makes the backward passes itself. It counts "
        "the calls of each BN layer between one backward pass and the next, without those of a recomputation. A "
        "layer that has counted fewer batches than there were backward passes is fine: its statistics are "
        "accumulated."
    )
    fixed = (
        "Train within normwise.accumulate: the running statistics are then updated once per step, exactly as by one "
        "large batch. Each micro-batch is still normalised by itself. If it is too small for that, use "
        "normwise.statistics.backward_of_union, which normalises it by the statistics of all micro-batches, or "
        "freeze the statistics."
    )
    safety = "unsafe"
    sources = (
        Source("pytorch issue 46516", "", "https://github.com/pytorch/pytorch/issues/46516"),
        Source("giotto-deep issue 75", "", "https://github.com/giotto-ai/giotto-deep/issues/75"),
    )

    def evidence(self, facts: Facts) -> Iterable[Symptom]:
        """Return the layers that are called equally often before each of several backward passes."""
        for path, found in facts.step.forward_calls().items():
            counts = Counter(call.backwards for call in found)
            if len(counts) < 2 or len(set(counts.values())) > 1:
                continue  # a network that several losses train in turn, such as a discriminator
            if facts.step.counted.get(path, len(counts)) < len(counts):
                continue  # within normwise.accumulate
            norm = facts.norms.get(path)
            evidence = [
                measured("updates of the statistics per step", len(counts)),
                measured("samples in each", sorted(call.samples for call in found)[len(found) // 2]),
                measured("values per channel", sorted(call.values for call in found)[len(found) // 2]),
            ]
            if norm is not None and isinstance(norm.momentum, float):
                whole = 1 - (1 - norm.momentum) ** len(counts)
                evidence += [measured("momentum", norm.momentum), measured("momentum of a step", whole)]
            kind = type(facts.layers[found[0].layer_path].layer).__name__
            yield Symptom(path, kind, tuple(evidence), badness=len(counts))

    def message(self, facts: Facts, symptoms: Sequence[Symptom]) -> str:
        """Count the passes."""
        times, samples = (int(number.value) for number in symptoms[0].evidence[:2])
        return (
            f"A training step accumulates gradients over {times} micro-batches: each is normalised by its own "
            f"{samples} samples, and moves the running statistics."
        )

    def fix(self, facts: Facts, symptoms: Sequence[Symptom]) -> str:
        """Accumulate the statistics as well."""
        return (
            "with normwise.accumulate(model, optimizer=optimizer):\n"
            "    train()  # the loop as it is; each step of the optimizer updates the statistics once"
        )

    def sick(self) -> Case:
        """Return a loss that accumulates gradients over four micro-batches."""
        torch.manual_seed(0)
        model = nn.Sequential(
            nn.Linear(4, 8, bias=False), nn.BatchNorm1d(8, momentum=None), nn.ReLU(), nn.Linear(8, 3)
        )
        x, y = torch.randn(64, 4), torch.randint(3, (64,))
        model(x)

        def accumulate(model: nn.Module, batch: Any) -> float:
            total = 0.0
            for inputs, target in zip(*(part.chunk(4) for part in batch), strict=True):
                loss = nn.functional.cross_entropy(model(inputs), target) / 4
                loss.backward()
                total += loss.item()
            return total

        return Case(model.eval(), [(x, y)], accumulate)

    def healthy(self) -> Case:
        """Return one that accumulates the statistics as well."""
        import normwise

        torch.manual_seed(0)
        model = nn.Sequential(
            nn.Linear(4, 8, bias=False), nn.BatchNorm1d(8, momentum=None), nn.ReLU(), nn.Linear(8, 3)
        )
        x, y = torch.randn(64, 4), torch.randint(3, (64,))
        model(x)

        def accumulate(model: nn.Module, batch: Any) -> float:
            total = 0.0
            with normwise.accumulate(model):
                for inputs, target in zip(*(part.chunk(4) for part in batch), strict=True):
                    loss = nn.functional.cross_entropy(model(inputs), target) / 4
                    loss.backward()
                    total += loss.item()
            return total

        return Case(model.eval(), [(x, y)], accumulate)

"""BN505: statistics that activation checkpointing updates twice."""

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from normwise.doctor.facts.facts import Facts
from normwise.doctor.rule import Case, Rule, measured
from normwise.records import Source, Symptom


class RecomputedStatistics(Rule):
    """Statistics that activation checkpointing updates twice."""

    code = "BN505"
    name = "recomputed-statistics"
    severity = "warning"
    needs = ("data",)
    finds = (
        "A BN layer that a backward pass calls again, and whose running statistics are updated both times."
    )
    why = (
        "Activation checkpointing runs the forward pass of a part of the model again in the backward pass. A BN "
        "layer in that part updates its running statistics twice with the same batch. The effective momentum is 1 - "
        "(1 - m)² instead of m, which makes the statistics noisier, and num_batches_tracked counts each batch twice. "
        "Other layers of the model are not affected, so the layers' statistics average over different numbers of "
        "steps."
    )
    measured = (
        "In one training step, calls that autograd makes are recognised by the running graph task, in both variants "
        "of torch.utils.checkpoint. A layer is named if its statistics were updated more often than it was called "
        "outside the backward pass."
    )
    fixed = (
        "Convert the layers to normwise's, which recognise a recomputation and do not update their statistics in it; "
        "outputs, gradients and state_dict stay the same. In layers that can't be converted set momentum to 1 - √(1 "
        "- m): two updates with one batch then equal one update with m. Or leave BN layers out of the checkpointed "
        "part."
    )
    safety = "unsafe"
    sources = (
        Source("pytorch issue 96136", "", "https://github.com/pytorch/pytorch/issues/96136"),
        Source("Samudra issue 572", "", "https://github.com/m2lines/Samudra/issues/572"),
        Source("pfn-extras pull request 117", "", "https://github.com/pfnet/pytorch-pfn-extras/pull/117"),
    )

    def evidence(self, facts: Facts) -> Iterable[Symptom]:
        """Return the layers whose statistics a recomputation updates again."""
        step = facts.step
        for path, norm in facts.norms.items():
            # A cumulative average is the same if each batch counts twice.
            if not norm.learns or not isinstance(norm.momentum, (int, float)) or path not in step.moved:
                continue
            calls = [call for call in step.calls if call.path == path and call.by_batch]
            again = sum(call.in_backward for call in calls)
            once = len(calls) - again
            counted = step.counted.get(path)
            if not again or not once or (counted is not None and counted <= once):
                continue
            yield Symptom(
                path,
                norm.kind,
                (
                    measured("calls in the forward pass", once),
                    measured("in the backward pass", again),
                    measured("updates of the statistics", once + again if counted is None else counted),
                    measured("momentum", norm.momentum),
                    measured("momentum of a step", 1 - (1 - norm.momentum) ** (1 + again / once)),
                ),
                badness=again / once,
            )

    def message(self, facts: Facts, symptoms: Sequence[Symptom]) -> str:
        """Name the effective momentum of a step."""
        momentum, of_step = (number.value for number in symptoms[0].evidence[3:])
        return (
            "Activation checkpointing updates the running statistics twice with each batch, as if momentum were "
            f"{of_step:.3g} instead of {momentum:.3g}."
        )

    def fix(self, facts: Facts, symptoms: Sequence[Symptom]) -> str:
        """Convert the layers, or lower the momentum of those that are recomputed and can't be converted."""
        paths = list(dict.fromkeys(facts.norms[symptom.path].layer_path for symptom in symptoms))
        if all(facts.layers[path].exact and facts.layers[path].traits.convertible for path in paths):
            return 'model, _ = normwise.convert(model, "batch")'
        return (
            f"for path in {paths!r}:\n"
            "    layer = model.get_submodule(path)\n"
            "    layer.momentum = 1 - (1 - layer.momentum) ** 0.5"
        )

    def sick(self) -> Case:
        """Return a model that recomputes a part with BN."""

        class Checkpointed(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.block = nn.Sequential(nn.Linear(4, 8, bias=False), nn.BatchNorm1d(8), nn.ReLU())
                self.head = nn.Linear(8, 3)

            def forward(self, x: Tensor) -> Any:
                return self.head(checkpoint(self.block, x, use_reentrant=False))

        torch.manual_seed(0)
        model, x = Checkpointed(), torch.randn(64, 4)
        for _ in range(100):
            model(x)
        return Case(model.eval(), [x])

    def healthy(self) -> Case:
        """Return one that does not."""
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(4, 8, bias=False), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 3))
        x = torch.randn(64, 4)
        for _ in range(100):
            model(x)
        return Case(model.eval(), [x])

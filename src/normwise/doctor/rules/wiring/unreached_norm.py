"""BN106: a BN layer that the data never reach."""

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn

from normwise.doctor.facts.facts import Facts
from normwise.doctor.rule import Case, Rule, measured
from normwise.records import Severity, Source, Symptom

_NEW = "its statistics are those of a new layer"


class UnreachedNorm(Rule):
    """A BN layer that the data never reach."""

    code = "BN106"
    name = "unreached-norm"
    severity = "warning"
    needs = ("data",)
    finds = (
        "A BN layer that neither evaluation nor a training step calls. It is a note if the layer has statistics, "
        "which show that something called it before, or if it was frozen."
    )
    why = (
        "A layer that forward does not call, or that another layer replaced, normalises nothing: the values that it "
        "was made for bypass it. Its parameters get no gradients, which makes DistributedDataParallel fail, and "
        "calibration can't give it statistics."
    )
    measured = (
        "Calls of each layer are counted in evaluation on all batches that are read, and in a training step on the "
        "first one. A layer also counts as reached if the step changed its statistics or gave its parameters "
        "gradients."
    )
    fixed = "Call the layer in forward, or remove it from the model."
    safety = "unsafe"
    sources = (
        Source("torch.nn.parallel.DistributedDataParallel", "find_unused_parameters",
               "https://docs.pytorch.org/docs/stable/generated/torch.nn.parallel.DistributedDataParallel.html"),
    )  # fmt: skip

    def evidence(self, facts: Facts) -> Iterable[Symptom]:
        """Return the layers that nothing calls."""
        if facts.flow.failed or facts.step.failed or facts.probe.failed:
            return
        reached = _reached(facts)
        norms = {norm.layer_path: norm for norm in facts.norms.values()}
        for path, kind in facts.layers.items():
            norm = norms.get(path)
            if path in reached or norm is None:
                continue
            new = norm.learns and (norm.is_initial or norm.mean is None)
            parameters = sum(parameter.numel() for parameter in kind.layer.parameters())
            yield Symptom(
                path,
                norm.kind,
                (measured("calls", 0), measured("unused parameters", parameters)),
                _NEW if new else "",
                float(new),
            )

    def severity_of(self, facts: Facts, symptoms: Sequence[Symptom]) -> Severity:
        """Return a note if all were used before."""
        return "warning" if any(symptom.detail == _NEW for symptom in symptoms) else "info"

    def message(self, facts: Facts, symptoms: Sequence[Symptom]) -> str:
        """Say that nothing calls them."""
        return "The data never reach a BN layer: neither evaluation nor a training step calls it."

    def fix(self, facts: Facts, symptoms: Sequence[Symptom]) -> str:
        """Remove it."""
        parts = [symptom.path.rpartition(".") for symptom in symptoms]
        lines = [f"delattr(model.get_submodule({parent!r}), {name!r})" for parent, _, name in parts]
        return "\n".join(("# if forward was not meant to call it; else call it there:", *lines))

    def sick(self) -> Case:
        """Return a network whose forward pass forgets its second BN layer."""

        class Forgetful(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.first, self.second = nn.Linear(4, 8, bias=False), nn.Linear(8, 3)
                self.norm, self.forgotten = nn.BatchNorm1d(8, momentum=None), nn.BatchNorm1d(3)

            def forward(self, x: Tensor) -> Tensor:
                return self.second(self.norm(self.first(x)).relu())

        torch.manual_seed(0)
        model, x = Forgetful(), torch.randn(64, 4)
        model(x)
        return Case(model.eval(), [x])

    def healthy(self) -> Case:
        """Return a network with a head that only training calls."""

        class TwoHeads(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.body = nn.Sequential(
                    nn.Linear(4, 8, bias=False), nn.BatchNorm1d(8, momentum=None), nn.ReLU()
                )
                self.head = nn.Linear(8, 3)
                self.auxiliary = nn.Sequential(
                    nn.Linear(8, 8, bias=False), nn.BatchNorm1d(8), nn.Linear(8, 3)
                )

            def forward(self, x: Tensor) -> Tensor:
                hidden = self.body(x)
                return self.head(hidden) + (self.auxiliary(hidden) if self.training else 0)

        torch.manual_seed(0)
        model, x = TwoHeads(), torch.randn(64, 4)
        model(x)
        return Case(model.eval(), [x])


def _reached(facts: Facts) -> set[str]:
    """Return the paths of the layers that something calls, as far as can be seen."""
    step, probe = facts.step, facts.probe
    slots = {path for path, calls in probe.calls.items() if calls} | step.moved
    layers = {norm.layer_path for norm in facts.norms.values() if norm.path in slots}
    learning = {name.rpartition(".")[0] for name in step.gradients}
    return (
        layers
        | {op.path for op in facts.flow.norms()}
        | {call.layer_path for call in step.calls}
        | {path for path in facts.layers if path in learning}
    )

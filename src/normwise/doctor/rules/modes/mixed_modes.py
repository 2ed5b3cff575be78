"""BN302: BN layers whose mode differs from that of the model."""

from collections.abc import Iterable, Sequence

import torch
from torch import nn

from normwise.doctor.facts.facts import Facts
from normwise.doctor.rule import Case, Rule, measured
from normwise.doctor.wording import cost_of_batch_mates, scatter_of_batches
from normwise.records import Safety, Severity, Source, Symptom


class MixedModes(Rule):
    """BN layers whose mode differs from that of the model."""

    code = "BN302"
    name = "mixed-modes"
    severity = "error"
    needs = ("model",)
    finds = (
        "BN layers in training mode in a model in evaluation mode, which is an error; and some BN layers in "
        "evaluation mode in a model in training mode although their γ or β are trained, which is a warning. Layers "
        "that seem frozen on purpose are not reported: all BN layers of a model, layers without trained parameters, "
        "and layers that normwise.freeze froze."
    )
    why = (
        "A layer in training mode makes the evaluation depend on the batch, and updates its statistics in every "
        "call. A layer that was left in evaluation mode trains its γ and β for statistics that no longer follow its "
        "inputs. The usual cause is eval() or train() on a part of the model, or on the model before a part was "
        "added."
    )
    measured = (
        "The modes of the model and of its BN layers are compared as given. With data, the scatter of the batches' "
        "means is measured."
    )
    fixed = (
        "Call eval() or train() on the whole model. For evaluation this is safe, and proven by measuring again. For "
        "training do it yourself, or use normwise.freeze for the layers that should not change."
    )
    safety = "safe"
    supersedes = ("BN306",)
    sources = (
        Source("pytorch issue 86590", "", "https://github.com/pytorch/pytorch/issues/86590"),
        Source("stable-baselines3 issue 535", "", "https://github.com/DLR-RM/stable-baselines3/issues/535"),
    )

    def evidence(self, facts: Facts) -> Iterable[Symptom]:
        """Return the layers in another mode than the model."""
        modes = facts.modes
        paths = modes.left_in_evaluation if modes.model else modes.in_training
        for path in paths:
            scatter = scatter_of_batches(facts, path)
            evidence = () if scatter is None else (measured("means of its batches scatter by", scatter, "σ"),)
            detail = f"in {'evaluation' if modes.model else 'training'}"
            yield Symptom(path, type(facts.layers[path].layer).__name__, evidence, detail, scatter or 0.0)

    def message(self, facts: Facts, symptoms: Sequence[Symptom]) -> str:
        """Count the layers of each mode."""
        modes = facts.modes
        count, total = len(symptoms), len(modes.in_training) + len(modes.in_evaluation)
        layers = "its BN layer" if total == 1 else f"{count} of its {total} BN layers"
        verb = "is" if count == 1 else "are"
        if modes.model:
            return f"The model is in training mode, but {layers} {verb} in evaluation mode although γ or β are trained."
        return f"The model is in evaluation mode, but {layers} {verb} in training mode."

    def severity_of(self, facts: Facts, symptoms: Sequence[Symptom]) -> Severity:
        """Return "error" in evaluation, and "warning" in training."""
        return "warning" if facts.modes.model else "error"

    def safety_of(self, facts: Facts, symptoms: Sequence[Symptom]) -> Safety:
        """Return "safe" in evaluation, and "manual" in training."""
        return "manual" if facts.modes.model else "safe"

    def cost(self, facts: Facts, symptoms: Sequence[Symptom]) -> str:
        """Say how far outputs move with the batch."""
        if "data" not in facts.has or facts.modes.model:
            return ""
        return cost_of_batch_mates(facts.dependence_as_given)

    def fix(self, facts: Facts, symptoms: Sequence[Symptom]) -> str:
        """Put the whole model into one mode."""
        if not facts.modes.model:
            return "model.eval()"
        return "model.train()  # or, to keep statistics in all layers: normwise.freeze(model)"

    def heal(self, facts: Facts, model: nn.Module, symptoms: Sequence[Symptom]) -> str:
        """Put the copy into evaluation."""
        model.eval()
        return "the whole model was put into evaluation mode"

    def sick(self) -> Case:
        """Return a model in evaluation mode with a part in training mode."""
        torch.manual_seed(0)
        layers = [nn.Linear(4, 8, bias=False), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 3)]
        model = nn.Sequential(*layers)
        x = torch.randn(64, 4)
        for _ in range(100):
            model(x)
        model.eval()
        model[1].train()
        return Case(model, [x])

    def healthy(self) -> Case:
        """Return one that is wholly in evaluation mode."""
        torch.manual_seed(0)
        layers = [nn.Linear(4, 8, bias=False), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 3)]
        model = nn.Sequential(*layers)
        x = torch.randn(64, 4)
        for _ in range(100):
            model(x)
        return Case(model.eval(), [x])

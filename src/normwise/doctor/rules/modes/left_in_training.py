"""BN301: BN layers in training mode where the model is to be evaluated."""

from collections.abc import Iterable, Sequence

import torch
from torch import nn

from normwise.doctor.facts.facts import Facts
from normwise.doctor.rule import Case, Rule, measured
from normwise.doctor.wording import cost_of_batch_mates, scatter_of_batches
from normwise.records import Safety, Severity, Source, Symptom
from normwise.surgery.core.decision import LeftError


class LeftInTraining(Rule):
    """BN layers in training mode where the model is to be evaluated."""

    code = "BN301"
    name = "left-in-training"
    severity = "warning"
    needs = ("model",)
    finds = (
        "BN layers that model.eval() leaves in training mode, which is an error; and a model that was given in "
        "training mode without a loss or an optimizer, so for evaluation, which is a warning."
    )
    why = (
        "In training mode a BN layer normalises by the mean and variance of the batch: the output for a sample "
        "depends on the other samples of the batch, and a batch of one may fail. Each call also updates the running "
        "statistics, even under torch.no_grad() and torch.inference_mode(), so evaluating the model changes it."
    )
    measured = (
        "The modes of the layers are read as given, and again after model.eval(). With data, the outputs of the "
        "first half of a batch are compared with those of the same samples without the other half."
    )
    fixed = (
        "Call model.eval() before evaluation. This is safe, and proven by measuring again. If model.eval() does not "
        "reach a layer, correct the class that overrides train(), or the hook that sets the mode, in your code."
    )
    safety = "safe"
    supersedes = ("BN302", "BN306")
    sources = (
        Source("Ioffe & Szegedy 2015", "section 3.1", "https://arxiv.org/abs/1502.03167"),
        Source("CorrNet issue 61", "", "https://github.com/hulianyuyy/CorrNet/issues/61"),
        Source("DeepForest issue 477", "", "https://github.com/weecology/DeepForest/issues/477"),
    )

    def evidence(self, facts: Facts) -> Iterable[Symptom]:
        """Return the layers that are stuck, and those of a model that was given in training mode."""
        modes = facts.modes
        for path in modes.stuck_in_training:
            yield self._symptom(facts, path, "model.eval() leaves it in training mode", 1.0)
        if not modes.model or facts.expects_training or modes.left_in_evaluation:
            return
        for path in modes.in_training:
            if path not in modes.stuck_in_training:
                yield self._symptom(facts, path, "given in training mode", 0.0)

    def message(self, facts: Facts, symptoms: Sequence[Symptom]) -> str:
        """Say which of the two it is."""
        stuck = [symptom.path for symptom in symptoms if symptom.path in facts.modes.stuck_in_training]
        if stuck:
            layers = "a BN layer" if len(stuck) == 1 else f"{len(stuck)} BN layers"
            return (
                f"model.eval() leaves {layers} in training mode, so that evaluation normalises by the batch."
            )
        return "The model is in training mode: outputs depend on the batch, and each call moves the running statistics."

    def severity_of(self, facts: Facts, symptoms: Sequence[Symptom]) -> Severity:
        """Return "error" where ``model.eval()`` does not help."""
        return "error" if facts.modes.stuck_in_training else "warning"

    def safety_of(self, facts: Facts, symptoms: Sequence[Symptom]) -> Safety:
        """Return "manual" where the user's own class or hook sets the mode."""
        return "manual" if facts.modes.stuck_in_training else "safe"

    def cost(self, facts: Facts, symptoms: Sequence[Symptom]) -> str:
        """Say how far outputs move with the batch."""
        if "data" not in facts.has:
            return ""
        stuck = facts.modes.stuck_in_training
        return cost_of_batch_mates(facts.dependence if stuck else facts.dependence_in_training)

    def fix(self, facts: Facts, symptoms: Sequence[Symptom]) -> str:
        """Put the model into evaluation."""
        if not facts.modes.stuck_in_training:
            return "model.eval()"
        return (
            "# Correct the class that overrides train(), or the hook that sets the mode. Until then:\n"
            "for found in normwise.surgery.find(model.eval()):\n"
            "    found.layer.training = False"
        )

    def heal(self, facts: Facts, model: nn.Module, symptoms: Sequence[Symptom]) -> str:
        """Put the copy into evaluation."""
        if facts.modes.stuck_in_training:
            raise LeftError("model.eval() does not change the mode: a class of yours or a hook sets it")
        model.eval()
        return "the model was put into evaluation"

    def sick(self) -> Case:
        """Return a model that was not put into evaluation mode."""
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(4, 8, bias=False), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 3))
        x = torch.randn(64, 4)
        for _ in range(100):
            model(x)
        return Case(model.train(), [x])

    def healthy(self) -> Case:
        """Return one in evaluation mode."""
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(4, 8, bias=False), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 3))
        x = torch.randn(64, 4)
        for _ in range(100):
            model(x)
        return Case(model.eval(), [x])

    def _symptom(self, facts: Facts, path: str, detail: str, badness: float) -> Symptom:
        kind = type(facts.layers[path].layer).__name__
        scatter = scatter_of_batches(facts, path)
        evidence = () if scatter is None else (measured("means of its batches scatter by", scatter, "σ"),)
        return Symptom(path, kind, evidence, detail, badness + (scatter or 0.0) / 1e3)

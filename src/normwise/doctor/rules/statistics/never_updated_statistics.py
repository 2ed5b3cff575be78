"""BN202: running statistics that no batch has ever updated."""

from collections.abc import Iterable, Sequence

import torch
from torch import nn

from normwise.doctor.facts.facts import Facts
from normwise.doctor.facts.model.norm_facts import NormFacts
from normwise.doctor.facts.passes.running_statistics import FINE, layer_errors
from normwise.doctor.heal import calibrate_copy
from normwise.doctor.rule import Case, Rule, measured
from normwise.doctor.wording import calibration
from normwise.records import Measured, Severity, Source, Symptom


class NeverUpdatedStatistics(Rule):
    """Running statistics that no batch has ever updated."""

    code = "BN202"
    name = "never-updated-statistics"
    severity = "error"
    needs = ("numbers",)
    finds = (
        "Running means of exactly 0 and variances of exactly 1 in all channels, as in a new layer, in a model that "
        "was trained, or whose data have other means and variances."
    )
    why = (
        "Such a layer does not normalise in evaluation at all: it only multiplies its input by γ and adds β. Causes "
        "are checkpoints without buffers, copies of parameters() alone, load_state_dict(strict=False) with other "
        "names, momentum=0, and models that were never called in training mode."
    )
    measured = (
        "The running statistics are compared with those of a new layer. Signs of a trained model are γ and β that "
        "differ among channels, and other layers whose statistics have changed. With data, the error of the "
        f"normalised values is measured, and a layer whose inputs do have mean 0 and variance 1, within {FINE:g} σ, "
        "is left out. In a new model in training mode a finding is a note. In a frozen layer γ and β may already "
        "include the statistics: it is reported only if they are initial as well, and as a warning unless a loss "
        "shows that more is lost."
    )
    fixed = (
        "Load a checkpoint that has the buffers, or let normwise.calibrate measure the statistics on data. This "
        "changes nothing else, is safe, and is proven by measuring again."
    )
    safety = "safe"
    sources = (
        Source("pytorch issue 8430", "", "https://github.com/pytorch/pytorch/issues/8430"),
        Source("peft issue 1732", "", "https://github.com/huggingface/peft/issues/1732"),
        Source("Ioffe & Szegedy 2015", "section 3.1", "https://arxiv.org/abs/1502.03167"),
    )
    supersedes = ("BN201",)

    def evidence(self, facts: Facts) -> Iterable[Symptom]:
        """Return the layers with initial statistics that the data, or other numbers, contradict."""
        errors = _errors(facts)
        moved = [norm for norm in facts.norms.values() if norm.mean is not None and not norm.is_initial]
        moved_layers = {norm.layer_path for norm in moved}
        for norm in facts.norms.values():
            if not norm.is_initial or not (norm.learns or _is_frozen_new(norm)):
                continue
            evidence: tuple[Measured, ...] = (measured("channels with mean 0 and variance 1", norm.channels),)
            if norm.steps is not None:
                evidence += (measured("batches counted", norm.steps),)
            if errors is not None:
                error = errors.get(norm.path)
                # A layer that the data do not reach shows nothing.
                if error is None or error <= FINE:
                    continue
                yield Symptom(
                    norm.path,
                    norm.kind,
                    (measured("normalised values off by", error, "σ"), *evidence),
                    badness=error,
                )
            elif norm.frozen:
                continue  # it may pass its input on by intention
            elif norm.layer_path in moved_layers:
                continue  # a time step that no sequence reached
            elif trained := norm.parameter_spread:
                yield Symptom(
                    norm.path,
                    norm.kind,
                    (*evidence, measured("γ and β have changed by up to", trained)),
                    badness=1 + trained,
                )
            elif moved or norm.steps:
                yield Symptom(
                    norm.path, norm.kind, (*evidence, measured("layers whose statistics changed", len(moved)))
                )

    def severity_of(self, facts: Facts, symptoms: Sequence[Symptom]) -> Severity:
        """Judge by whether training is over, and by how certain it is that the layer was trained."""
        if facts.given_model is not None and facts.modes.model and _is_new(facts):
            return "info"
        if all(facts.norms[symptom.path].frozen for symptom in symptoms):
            return "error" if facts.probe.has_loss and facts.probe.exact_helps else "warning"
        sure = "data" in facts.has or any(facts.norms[symptom.path].parameter_spread for symptom in symptoms)
        return "error" if sure else "warning"

    def message(self, facts: Facts, symptoms: Sequence[Symptom]) -> str:
        """Name the probable cause."""
        return f"The running statistics are those of a new layer, mean 0 and variance 1: {_cause(facts, symptoms)}."

    def cost(self, facts: Facts, symptoms: Sequence[Symptom]) -> str:
        """Compare evaluation with running and with exact statistics."""
        return facts.probe.cost_of_statistics if "data" in facts.has else ""

    def fix(self, facts: Facts, symptoms: Sequence[Symptom]) -> str:
        """Load them, or calibrate."""
        frozen = any(facts.norms[symptom.path].frozen for symptom in symptoms)
        code = calibration(facts, include_frozen=frozen)
        return f"{code}  # or load a checkpoint with running_mean and running_var"

    def heal(self, facts: Facts, model: nn.Module, symptoms: Sequence[Symptom]) -> str:
        """Calibrate the copy."""
        frozen = any(facts.norms[symptom.path].frozen for symptom in symptoms)
        return calibrate_copy(facts, model, include_frozen=frozen)

    def sick(self) -> Case:
        """Return a trained layer that lost its buffers."""
        torch.manual_seed(0)
        norm = nn.BatchNorm1d(8, momentum=None)
        model = nn.Sequential(nn.Linear(4, 8), norm, nn.ReLU(), nn.Linear(8, 3))
        x = 3 * torch.randn(64, 4) + 2
        model(x)
        nn.init.uniform_(norm.weight, 0.5, 1.5)  # as training would
        parameters = dict(model.named_parameters())
        new = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 3))
        new.load_state_dict(parameters, strict=False)  # parameters only
        return Case(new.eval(), [x])

    def healthy(self) -> Case:
        """Return one with its buffers."""
        torch.manual_seed(0)
        norm = nn.BatchNorm1d(8, momentum=None)
        model = nn.Sequential(nn.Linear(4, 8), norm, nn.ReLU(), nn.Linear(8, 3))
        x = 3 * torch.randn(64, 4) + 2
        model(x)
        nn.init.uniform_(norm.weight, 0.5, 1.5)
        return Case(model.eval(), [x])


def _errors(facts: Facts) -> dict[str, float] | None:
    """Return the error of each layer that data reach; None if nothing can be measured."""
    if "data" not in facts.has or facts.probe.failed:
        return None
    return {path: error for path, (error, _) in layer_errors(facts.norms, facts.probe).items()}


def _is_frozen_new(norm: NormFacts) -> bool:
    """Return whether nothing was loaded into a frozen layer; otherwise γ and β may include its statistics."""
    return norm.frozen and not norm.parameter_spread


def _is_new(facts: Facts) -> bool:
    return all(
        norm.mean is None or (norm.is_initial and not norm.steps and not norm.parameter_spread)
        for norm in facts.norms.values()
    )


def _cause(facts: Facts, symptoms: Sequence[Symptom]) -> str:
    norms = [facts.norms[symptom.path] for symptom in symptoms]
    if all(norm.frozen for norm in norms):
        return "the layers are frozen, and nothing was loaded into them"
    if all(norm.momentum == 0 for norm in norms):
        return "momentum=0 ignores every batch"
    if _is_new(facts):
        return "the model has not seen a batch in training mode yet"
    if any(norm.steps for norm in norms):
        return "batches were counted, so the statistics were reset, or overwritten by a copy without buffers"
    if all(norm.steps is None for norm in norms):
        return "they were never loaded, or never updated"
    return "no batch was counted, so the buffers were never loaded, or the layer was never in training mode"

"""BN208: data that are distributed differently from the training data."""

import math
from collections.abc import Iterable, Sequence

import torch
from torch import nn

from normwise.doctor.facts.data.first_norms import first_norms
from normwise.doctor.facts.data.input_shift import InputShift, input_shift, layer_before, median
from normwise.doctor.facts.facts import Facts
from normwise.doctor.facts.model.changed_weights import averaged_modules, has_computed_weights
from normwise.doctor.facts.passes.running_statistics import (
    initial_share,
    is_near_initial,
    is_off,
    layer_errors,
)
from normwise.doctor.rule import Case, Rule, measured
from normwise.doctor.wording import calibration
from normwise.records import Severity, Source, Symptom

#: Error of the first layers, in σ, from which a change of the data is reported; without layers that agree, or a
#: factor that explains it, the greater one.
_LARGE, _HUGE = 0.5, 1.0
#: Least ratio of the first layers' error to that of the later layers, where there are several later ones, and
#: where there is one.
_TIMES_SEVERAL, _TIMES_ONE = 4.0, 8.0
#: Factors of standard deviations that training does not cause.
_EXTREME = 8.0
#: Largest share of the error that factor and offset may leave.
_LEFT = 0.4
#: Share of the initial statistics in the running ones from which a layer has seen too few batches to judge data.
_YOUNG = 0.01


class DataShift(Rule):
    """Data that are distributed differently from the training data."""

    code = "BN208"
    name = "data-shift"
    severity = "error"
    needs = ("data",)
    finds = (
        "Data that are scaled, shifted or otherwise distributed differently from the data that the running "
        "statistics were collected on: only the first BN layers disagree with them."
    )
    why = (
        "Evaluation is bad with images from 0 to 255 instead of 0 to 1, a normalisation that was forgotten or done "
        "twice, or another sensor. Training, or a pass that normalises by the batch, hides the fault: the first BN "
        "layer removes the scale, and everything after it looks as usual."
    )
    measured = (
        "Each layer's running statistics are compared with those of the data, while the layers before it normalise "
        "by the batch. With stale statistics all layers are wrong; with other data only the first layers are, and "
        "the later ones agree. The factor is the ratio of standard deviations, and the offset follows from the "
        "weights of the layer before. In a model without later layers, one factor has to explain all channels."
    )
    fixed = (
        "Correct the preprocessing of the data in your script. If the data are different on purpose, "
        "normwise.calibrate adapts the statistics to them."
    )
    safety = "manual"
    sources = (
        Source("Li et al. 2017 (AdaBN)", "section 3", "https://arxiv.org/abs/1603.04779"),
        Source("Schneider et al. 2020", "section 3", "https://arxiv.org/abs/2006.16971"),
        Source("Ioffe & Szegedy 2015", "section 3.3", "https://arxiv.org/abs/1502.03167"),
    )
    supersedes = ("BN201",)

    def evidence(self, facts: Facts) -> Iterable[Symptom]:
        """Return the first layers if only they disagree with the data."""
        probe = facts.probe
        if probe.failed or averaged_modules(facts.model):
            return
        errors = layer_errors(facts.norms, probe)
        first = first_norms(facts.flow)
        at_front = [path for path in errors if facts.norms[path].layer_path in first]
        off = [path for path in at_front if is_off(*errors[path]) and not _is_young(facts, path)]
        if not off or 2 * len(off) < len(at_front):
            return
        later = [path for path in errors if path not in at_front and not facts.norms[path].is_initial]
        of_later = [errors[path][0] for path in later]
        worst = max(errors[path][0] for path in off)
        shifts = {path: _shift(facts, path) for path in off}
        explained = {path for path, shift in shifts.items() if _explains(shift, errors[path][0])}
        if not explained and not probe.exact_helps:
            return
        extreme = any(
            shift is not None and abs(math.log(abs(shift.scale))) > math.log(_EXTREME)
            for shift in shifts.values()
        )
        tells = (
            bool(explained) or extreme or (_agree(of_later, worst) and not has_computed_weights(facts.model))
        )
        # After inputs that are far too small, ε dominates and nothing agrees.
        clear = not later or worst >= 2 * median(of_later) or (extreme and bool(explained))
        if worst < _LARGE or not clear or not tells:
            return
        for path in off:
            norm, shift = facts.norms[path], shifts[path]
            evidence = [measured("normalised values off by", errors[path][0], "σ")]
            if shift is not None:
                evidence.append(measured("values vary more by", abs(shift.scale), "times"))
                if path in explained:
                    evidence.append(measured("alike in all channels within", 100 * shift.spread, "%"))
                if path in explained and shift.offset and not math.isnan(shift.offset):
                    evidence.append(measured("inputs moved by", shift.offset))
            if later:
                evidence.append(measured("later layers off by", median(of_later), "σ"))
            yield Symptom(path, norm.kind, tuple(evidence), badness=worst + errors[path][0])
        for path in later:
            if is_off(*errors[path]):
                yield Symptom(
                    path,
                    facts.norms[path].kind,
                    (measured("normalised values off by", errors[path][0], "σ"),),
                    "as a consequence",
                    badness=min(errors[path][0], worst),
                )

    def message(self, facts: Facts, symptoms: Sequence[Symptom]) -> str:
        """Name factor and offset."""
        said = _change(_shift(facts, symptoms[0].path))
        return f"The data are not those that the model was trained on: {said}."

    def severity_of(self, facts: Facts, symptoms: Sequence[Symptom]) -> Severity:
        """Judge by what evaluation with exact statistics gains."""
        return facts.probe.severity_by_cost

    def cost(self, facts: Facts, symptoms: Sequence[Symptom]) -> str:
        """Compare evaluation with running and with exact statistics."""
        return facts.probe.cost_of_statistics

    def fix(self, facts: Facts, symptoms: Sequence[Symptom]) -> str:
        """Undo the change."""
        shift = _shift(facts, symptoms[0].path)
        if shift is None or not shift.is_uniform:
            undo = "# preprocess the data as for training"
        else:
            is_scaled_only = math.isnan(shift.offset) or shift.offset == 0
            moved = "x" if is_scaled_only else f"(x - {shift.offset:.3g})"
            undo = f"x = {moved} / {shift.scale:.3g}  # better: preprocess the data as for training"
        return f"{undo}\n{calibration(facts)}  # instead, if the data are different on purpose"

    def sick(self) -> Case:
        """Return a model that gets data 16 times as large as in training."""
        torch.manual_seed(0)
        model = nn.Sequential(
            *(nn.Linear(4, 16, bias=False), nn.BatchNorm1d(16), nn.ReLU()),
            *(nn.Linear(16, 16, bias=False), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 3)),
        )
        x = torch.randn(256, 4) + 1
        for _ in range(100):
            model(x)
        return Case(model.eval(), [16 * x])

    def healthy(self) -> Case:
        """Return one that gets the same data as in training."""
        torch.manual_seed(0)
        model = nn.Sequential(
            *(nn.Linear(4, 16, bias=False), nn.BatchNorm1d(16), nn.ReLU()),
            *(nn.Linear(16, 16, bias=False), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 3)),
        )
        x = torch.randn(256, 4) + 1
        for _ in range(100):
            model(x)
        return Case(model.eval(), [x])


def _is_young(facts: Facts, path: str) -> bool:
    """Return whether a layer has seen too few batches for its statistics to describe data."""
    norm = facts.norms[path]
    return initial_share(norm) > _YOUNG or is_near_initial(norm)


def _shift(facts: Facts, path: str) -> InputShift | None:
    norm = facts.norms[path]
    exact = facts.probe.exact_statistics.get(path)
    return None if exact is None else input_shift(norm, exact, layer_before(facts.flow, norm.layer_path))


def _agree(of_later: Sequence[float], worst: float) -> bool:
    """Return whether the later layers are so much better that the data must have changed."""
    if len(of_later) > 1:
        return worst > _TIMES_SEVERAL * max(of_later)
    return len(of_later) == 1 and worst > max(_HUGE, _TIMES_ONE * of_later[0])


def _explains(shift: InputShift | None, error: float) -> bool:
    """Return whether a factor and an offset remove most of the error."""
    return shift is not None and shift.is_uniform and shift.is_notable and shift.left < _LEFT * error


def _change(shift: InputShift | None) -> str:
    if shift is None or not shift.is_uniform:
        return "the layers that see them first disagree with them, but no single factor or offset explains it"
    parts = []
    if abs(shift.scale - 1) > 0.1:
        parts.append(f"scaled by {shift.scale:.3g}")
    if not math.isnan(shift.offset) and shift.offset != 0:
        parts.append(f"moved by {shift.offset:.3g}")
    return f"they look {' and '.join(parts)}" if parts else "their means are different"

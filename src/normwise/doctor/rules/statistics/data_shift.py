"""BN208: data that are not distributed as those of training."""

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

#: Error of the first layers, in σ, from which a change of the data is worth a name; without layers that agree, or a
#: factor that explains it, the greater one.
_LARGE, _HUGE = 0.5, 1.0
#: How many times the error of the layers behind that of the first ones has to be, where there are several of them, and
#: where there is one.
_TIMES_SEVERAL, _TIMES_ONE = 4.0, 8.0
#: Factors of standard deviations that no training makes.
_EXTREME = 8.0
#: Share of the error that factor and offset have to leave over.
_LEFT = 0.4
#: Share of the initial statistics in the running ones from which a layer is too young to tell anything of data.
_YOUNG = 0.01


class DataShift(Rule):
    """Data that are not distributed as those of training."""

    code = "BN208"
    name = "data-shift"
    severity = "error"
    needs = ("data",)
    finds = (
        "Data that are scaled, shifted or otherwise distributed than those that the running statistics were collected "
        "on: only the BN layers that see the data first disagree with them."
    )
    why = (
        "Images of 0 to 255 in place of 0 to 1, a normalisation that was forgotten or done twice, or another sensor "
        "make evaluation bad. Training, or a pass that normalises by the batch, hides it: the first BN layer takes "
        "the scale away, and everything behind looks as always."
    )
    measured = (
        "Each layer's running statistics are compared with those of the data, where the layers before it normalise by "
        "the batch. With stale statistics all layers are off; with other data those that see the data first, and the "
        "layers behind agree. The factor is the ratio of standard deviations, and the offset follows from the weights "
        "of the layer before. In a model without layers behind, one factor has to explain all channels."
    )
    fixed = (
        "Mend the preprocessing of the data, which is in your script. Where the data are meant to be others, "
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
        """Return the first layers, where they alone disagree with the data."""
        probe = facts.probe
        if probe.failed or averaged_modules(facts.model):
            return
        errors = layer_errors(facts.norms, probe)
        first = first_norms(facts.flow)
        at_front = [path for path in errors if facts.norms[path].layer_path in first]
        off = [path for path in at_front if is_off(*errors[path]) and not _is_young(facts, path)]
        if not off or 2 * len(off) < len(at_front):
            return
        behind = [path for path in errors if path not in at_front and not facts.norms[path].is_initial]
        of_behind = [errors[path][0] for path in behind]
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
            bool(explained) or extreme or (_agree(of_behind, worst) and not has_computed_weights(facts.model))
        )
        # Behind inputs that are far too small ε counts, and nothing agrees.
        clear = not behind or worst >= 2 * median(of_behind) or (extreme and bool(explained))
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
            if behind:
                evidence.append(measured("layers behind off by", median(of_behind), "σ"))
            yield Symptom(path, norm.kind, tuple(evidence), badness=worst + errors[path][0])
        for path in behind:
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
            undo = f"x = {moved} / {shift.scale:.3g}  # or rather: preprocess the data as for training"
        return f"{undo}\n{calibration(facts)}  # instead, where the data are meant to be others"

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
        """Return one that gets the same as in training."""
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
    """Return whether a layer has hardly seen a batch, so that its statistics are of no data."""
    norm = facts.norms[path]
    return initial_share(norm) > _YOUNG or is_near_initial(norm)


def _shift(facts: Facts, path: str) -> InputShift | None:
    norm = facts.norms[path]
    exact = facts.probe.exact_statistics.get(path)
    return None if exact is None else input_shift(norm, exact, layer_before(facts.flow, norm.layer_path))


def _agree(of_behind: Sequence[float], worst: float) -> bool:
    """Return whether the layers behind are so much better that the data must be what changed."""
    if len(of_behind) > 1:
        return worst > _TIMES_SEVERAL * max(of_behind)
    return len(of_behind) == 1 and worst > max(_HUGE, _TIMES_ONE * of_behind[0])


def _explains(shift: InputShift | None, error: float) -> bool:
    """Return whether a factor and an offset take most of the error away."""
    return shift is not None and shift.is_uniform and shift.is_notable and shift.left < _LEFT * error


def _change(shift: InputShift | None) -> str:
    if shift is None or not shift.is_uniform:
        return "the layers that see them first disagree with them, and no single factor or offset explains it"
    parts = []
    if abs(shift.scale - 1) > 0.1:
        parts.append(f"scaled by {shift.scale:.3g}")
    if not math.isnan(shift.offset) and shift.offset != 0:
        parts.append(f"moved by {shift.offset:.3g}")
    return f"they look {' and '.join(parts)}" if parts else "their means are others"

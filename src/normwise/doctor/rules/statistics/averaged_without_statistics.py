"""BN209: averaged weights with statistics that were neither averaged nor measured."""

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn

from normwise.doctor.facts.facts import Facts
from normwise.doctor.facts.model.changed_weights import averaged_modules
from normwise.doctor.facts.passes.running_statistics import is_off, layer_errors
from normwise.doctor.heal import calibrate_copy
from normwise.doctor.rule import Case, Rule, measured
from normwise.doctor.wording import calibration
from normwise.records import Source, Symptom


class AveragedWithoutStatistics(Rule):
    """Averaged weights with statistics that were neither averaged nor measured."""

    code = "BN209"
    name = "averaged-without-statistics"
    severity = "error"
    needs = ("model",)
    finds = (
        "A copy with averaged weights, such as torch's AveragedModel or an exponential moving average, whose running "
        "statistics belong to other weights."
    )
    why = (
        "Weight averaging covers parameters, but running statistics are buffers. AveragedModel copies those of the "
        "newest weights, or averages them; copies made by hand often keep those from the time of the copy. None of "
        "them are the statistics that the averaged weights give."
    )
    measured = (
        "The copy is recognised by its counter n_averaged, or by the name of its class. Its statistics are wrong if "
        "they are those of a new layer although weights were averaged; or if data show that their error is larger "
        "than the noise of a running average, and that exact ones improve evaluation."
    )
    fixed = (
        "normwise.calibrate measures the statistics of the averaged weights, and changes nothing else. This is safe, "
        "and proven by measuring again. It is exact, whereas torch.optim.swa_utils.update_bn averages variances of "
        "batches."
    )
    safety = "safe"
    sources = (
        Source("moco issue 70", "", "https://github.com/facebookresearch/moco/issues/70"),
        Source("PFLlib issue 260", "", "https://github.com/TsingZ0/PFLlib/issues/260"),
        Source("Izmailov et al. 2018", "section 3.2", "https://arxiv.org/abs/1803.05407"),
    )
    supersedes = ("BN201", "BN202")

    def evidence(self, facts: Facts) -> Iterable[Symptom]:
        """Return the layers of averaged copies whose statistics belong to other weights."""
        copies = {path: count for path, count in _copies(facts.model).items() if count != 0}
        if not copies:
            return
        probe = facts.probe if "data" in facts.has else None
        measured_errors = {} if probe is None or probe.failed else layer_errors(facts.norms, probe)
        for norm in facts.norms.values():
            averages = next(
                (n for path, n in copies.items() if not path or norm.layer_path.startswith(f"{path}.")), None
            )
            if averages is None or norm.mean is None:
                continue
            error, noise = measured_errors.get(norm.path, (None, 0.0))
            if error is None:
                if measured_errors or not norm.is_initial or averages != averages:
                    continue
            elif not (
                is_off(error, noise) and (norm.is_initial or (probe is not None and probe.exact_helps))
            ):
                continue
            evidence = [] if error is None else [measured("normalised values off by", error, "σ")]
            evidence += [measured("weights averaged", averages, "times")] if averages == averages else []
            evidence += (
                [] if norm.steps is None else [measured("batches that the statistics counted", norm.steps)]
            )
            yield Symptom(norm.path, norm.kind, tuple(evidence), badness=error or 0.0)

    def message(self, facts: Facts, symptoms: Sequence[Symptom]) -> str:
        """State the problem."""
        return "The weights are averages of many steps, but the running statistics do not belong to these weights."

    def cost(self, facts: Facts, symptoms: Sequence[Symptom]) -> str:
        """Compare evaluation with running and with exact statistics."""
        return facts.probe.cost_of_statistics if "data" in facts.has else ""

    def fix(self, facts: Facts, symptoms: Sequence[Symptom]) -> str:
        """Calibrate."""
        return f"{calibration(facts, 'averaged_model')}  # after the last update of its weights"

    def heal(self, facts: Facts, model: nn.Module, symptoms: Sequence[Symptom]) -> str:
        """Calibrate the copy."""
        return calibrate_copy(facts, model)

    def sick(self) -> Case:
        """Return an average of weights that moved far."""
        torch.manual_seed(0)
        first = nn.Linear(4, 8, bias=False)
        model = nn.Sequential(first, nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 3))
        averaged = torch.optim.swa_utils.AveragedModel(model)
        x = 3 * torch.randn(64, 4) + 2
        for _ in range(50):
            nn.init.normal_(first.weight)  # as a large step would
            model(x)
            averaged.update_parameters(model)
        return Case(averaged.eval(), [x])

    def healthy(self) -> Case:
        """Return one whose statistics were measured afterwards."""
        torch.manual_seed(0)
        first = nn.Linear(4, 8, bias=False)
        model = nn.Sequential(first, nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 3))
        averaged = torch.optim.swa_utils.AveragedModel(model)
        x = 3 * torch.randn(64, 4) + 2
        for _ in range(50):
            nn.init.normal_(first.weight)
            model(x)
            averaged.update_parameters(model)
        torch.optim.swa_utils.update_bn([x], averaged)
        return Case(averaged.eval(), [x])


def _copies(model: nn.Module) -> dict[str, float]:
    """Return how often each averaged copy was updated, by path; NaN if it does not count."""
    found = {}
    for path, module in averaged_modules(model).items():
        counter = module._buffers.get("n_averaged")
        is_count = isinstance(counter, Tensor) and counter.numel() == 1 and not counter.is_meta
        found[path] = float(counter) if isinstance(counter, Tensor) and is_count else float("nan")
    return found

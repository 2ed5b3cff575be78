"""BN701: graphs of TorchScript, torch.fx and torch.export, made in either mode."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, fx, nn

import normwise

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning"),
]


def _network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(64, 2))


_X = torch.randn(8, 3, 6, 6)
_WAYS: dict[str, Callable[[nn.Module], Any]] = {
    "traced": lambda model: torch.jit.trace(model, _X, check_trace=False),
    "exported": lambda model: torch.export.export(model, (_X,)).module(),
    "decomposed": lambda model: torch.export.export(model, (_X,)).run_decompositions().module(),
}


@pytest.mark.parametrize("way", _WAYS)
def test_a_graph_made_in_training_is_an_error_and_one_made_in_evaluation_is_healthy(way: str) -> None:
    sick = normwise.diagnose(_WAYS[way](_network().train()), _X)
    assert [(one.code, one.severity) for one in sick.findings] == [("BN701", "error")]
    assert normwise.diagnose(_WAYS[way](_network().eval()), _X).is_healthy


def test_eval_does_not_change_a_trace() -> None:
    traced = _WAYS["traced"](_network().train()).eval()
    (finding,) = normwise.diagnose(traced).findings
    assert finding.symptoms[0].path == "1"
    assert finding.symptoms[0].kind == "BatchNorm2d"
    assert (traced(_X)[:4] - traced(_X[:4])).abs().max() > 0.01


def test_a_scripted_model_is_healthy_once_it_is_in_evaluation() -> None:
    scripted = torch.jit.script(_network().train())
    (finding,) = normwise.diagnose(scripted).findings
    assert (finding.severity, finding.fix) == ("warning", "model.eval()  # then save it again")
    assert normwise.diagnose(scripted.eval()).findings == ()


def test_a_file_of_torchscript_is_told_by_its_graph(tmp_path: Path) -> None:
    file = tmp_path / "model.pt"
    torch.jit.save(_WAYS["traced"](_network().train()), file)
    loaded = torch.jit.load(file).eval()
    assert [one.code for one in normwise.diagnose(loaded).findings] == ["BN701"]


def test_a_symbolic_trace_keeps_its_layers_and_their_modes() -> None:
    graph = fx.symbolic_trace(_network().eval())
    assert normwise.diagnose(graph, _X, select=["BN3", "BN7"]).is_healthy
    assert [one.code for one in normwise.diagnose(graph.train(), _X, select=["BN3", "BN7"]).findings] == [
        "BN301"
    ]


def test_a_part_that_is_scripted_keeps_its_mode() -> None:
    model = nn.Sequential(torch.jit.script(_network()), nn.BatchNorm1d(2)).eval()
    normwise.diagnose(model, _X)
    assert not any(module.training for module in model.modules())
    model[0].train()
    assert "BN701" in {one.code for one in normwise.diagnose(model, _X).findings}
    assert model[0].training
    assert not model[1].training


def test_what_needs_layers_is_skipped_and_said() -> None:
    examination = normwise.diagnose(_WAYS["exported"](_network().eval()), _X).examination
    assert examination.skipped["BN201"] == "they need layers, and the model is a graph without any"


def test_graphs_without_running_statistics_are_none() -> None:
    class Standardised(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner, self.norm = nn.Linear(4, 4), nn.BatchNorm1d(4)

        def forward(self, x: Tensor) -> Tensor:
            weight = nn.functional.batch_norm(self.inner.weight[None], None, None, training=True)[0]
            return self.norm(nn.functional.linear(x, weight))

    traced: Any = torch.jit.trace(Standardised().eval(), torch.randn(8, 4), check_trace=False)
    assert normwise.diagnose(traced).findings == ()

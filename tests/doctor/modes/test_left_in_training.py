"""BN301: what a model in training mode is, and is not, reproached with."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

import normwise


class _StuckBlock(nn.Module):
    """A block whose ``train`` forgets its argument."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(8)

    def train(self, mode: bool = True) -> "_StuckBlock":
        return super().train(True)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(x)


def _trained(norm: nn.Module) -> tuple[nn.Module, list[Tensor]]:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 8, bias=False), norm, nn.ReLU(), nn.Dropout(0.5), nn.Linear(8, 3))
    batches = [torch.randn(32, 4) for _ in range(4)]
    for batch in batches * 25:
        model(batch)
    return model, batches


def test_a_layer_that_eval_does_not_reach_is_an_error_that_only_its_author_can_fix() -> None:
    model, batches = _trained(_StuckBlock())
    diagnosis = normwise.diagnose(model.eval(), batches)
    (finding,) = [one for one in diagnosis.findings if one.severity == "error"]
    assert (finding.code, finding.safety) == ("BN301", "manual")
    assert finding.symptoms[0].path == "1.norm"
    assert "model.eval() leaves a BN layer in training mode" in finding.message
    assert "when half of its batch is taken away" in finding.cost
    assert diagnosis.fix()[1].remedies[0].applied is False


def test_the_code_of_its_fix_ends_the_dependence_on_the_batch() -> None:
    model, batches = _trained(_StuckBlock())
    model.eval()
    before = (model(batches[0])[:16] - model(batches[0][:16])).abs().max().item()
    for found in normwise.surgery.find(model.eval()):
        assert found.layer is not None
        found.layer.training = False
    after = (model(batches[0])[:16] - model(batches[0][:16])).abs().max().item()
    assert before > 0.05
    assert after < 1e-5


def test_training_mode_is_normal_with_a_loss_or_an_optimizer() -> None:
    model, batches = _trained(nn.BatchNorm1d(8))
    data = [(batch, torch.randint(3, (32,))) for batch in batches]
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    assert normwise.diagnose(model, data, select=["BN3"], loss=F.cross_entropy).findings == ()
    assert normwise.diagnose(model, data, select=["BN3"], optimizer=optimizer).findings == ()


def test_dropout_does_not_count_as_dependence_on_the_batch() -> None:
    model, batches = _trained(nn.BatchNorm1d(8))
    (finding,) = normwise.diagnose(model, batches, select=["BN301"]).findings
    dependence = float(finding.cost.split(" by ")[1].split(" σ")[0])
    model.eval().get_submodule("1").train()
    x = batches[0].double()
    model.double()
    moved = (model(x)[:16] - model(x[:16])).square().mean().sqrt()
    expected = (moved / model(x).std(0, correction=0).square().mean().sqrt()).item()
    assert abs(dependence - expected) < 0.06 * expected


def test_without_data_the_mode_alone_is_told() -> None:
    model, _ = _trained(nn.BatchNorm1d(8))
    (finding,) = normwise.diagnose(model, select=["BN301"]).findings
    assert (finding.severity, finding.cost, finding.fix) == ("warning", "", "model.eval()")


def test_frozen_layers_are_in_evaluation_in_any_mode() -> None:
    model, batches = _trained(nn.BatchNorm1d(8))
    normwise.freeze(model)
    assert normwise.diagnose(model.train(), batches, select=["BN301", "BN302", "BN303"]).findings == ()

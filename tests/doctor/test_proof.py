"""The proof of a treatment: a fix that measuring again speaks against is undone."""

import torch
from torch import nn

import normwise
from normwise.doctor import Facts


def test_without_a_loss_a_fix_must_not_lose_accuracy() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8, momentum=0.001), nn.Linear(8, 3))
    inputs = 3 * torch.randn(256, 4) + 2
    model(inputs)
    model.eval()
    # What the model says with its stale statistics is right, so that exact ones make it worse.
    diagnosis = normwise.diagnose(model, [(inputs, model(inputs).argmax(1))], select=["BN201"])
    healed, treatment = diagnosis.fix()
    assert healed is model
    assert not treatment.proven
    assert "accuracy in evaluation is" in treatment.reason
    assert "and was 100.0%" in treatment.reason


def test_a_checkpoint_has_the_slots_of_its_model() -> None:
    model = normwise.nn.BatchNormLSTM(3, 4, max_length=5)
    model(torch.randn(4, 6, 3))
    of_state, of_model = Facts.of_checkpoint(model.state_dict()).norms, Facts.of_model(model).norms
    assert list(of_state) == list(of_model)
    for path, norm in of_state.items():
        assert norm.steps == of_model[path].steps
        assert norm.layer_path == of_model[path].layer_path
        assert norm.variance is not None
        assert norm.variance.equal(torch.as_tensor(of_model[path].variance))

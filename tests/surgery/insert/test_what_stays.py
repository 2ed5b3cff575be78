"""The given model, its optimizer and its saved states before and after an insertion."""

import copy
import pickle
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import parametrizations

from normwise.errors import ArgumentError, ModelError
from tests.surgery.insert.networks import Net, X, insert_norms, plain_net, state_of, written_net


def test_the_given_model_and_the_random_state_are_left_alone() -> None:
    model = plain_net()
    model[1].eval()
    modes, seed, state = [m.training for m in model.modules()], torch.random.get_rng_state(), state_of(model)
    kept = [(type(module), dict(module._modules), dict(module._forward_hooks)) for module in model.modules()]
    new, _ = insert_norms(model, X, data=[X, 2 * X])
    assert [(type(m), dict(m._modules), dict(m._forward_hooks)) for m in model.modules()] == kept
    assert [m.training for m in model.modules()] == modes
    torch.testing.assert_close(state_of(model), state, rtol=0, atol=0)
    assert torch.equal(torch.random.get_rng_state(), seed)
    assert not {id(p) for p in model.parameters()} & {id(p) for p in new.parameters()}


def test_in_place_it_is_the_same_model_and_function() -> None:
    model = written_net()
    expected, weight = model.eval()(X), model.a.weight
    same, _ = insert_norms(model, X, data=X, inplace=True)
    assert same is model
    assert model.a.weight is weight
    assert not model.a.layer._forward_hooks
    torch.testing.assert_close(model.eval()(X), expected, rtol=0, atol=1e-9)


def test_norms_join_the_weight_where_it_is_computed_from_another_parameter() -> None:
    model = plain_net()
    parametrizations.weight_norm(model[0])
    magnitude = model[0].parametrizations.weight.original0
    optimizer = torch.optim.SGD([{"params": [model[0].bias]}, {"params": [magnitude]}], lr=0.1)
    new, _ = insert_norms(model, X, data=X, optimizer=optimizer)
    expected = [new[0].parametrizations.weight.original0, new[1].weight, new[1].bias]
    assert [id(p) for p in optimizer.param_groups[1]["params"]] == [id(p) for p in expected]


def _by_class(net: Any, x: Tensor) -> Tensor:
    y = net.last(F.relu(net.a(x)))
    return y if type(net.a) is nn.Conv1d else y + 1


def _by_length(net: Any, x: Tensor) -> Tensor:
    y = net.last(net.sequence(x))
    return y if len(net.sequence) == 2 else y + 1


@pytest.mark.parametrize("forward", [_by_class, _by_length])
def test_a_model_that_asks_for_more_than_outputs_is_proven_wrong_and_restored(forward: Any) -> None:
    model: Any = Net(forward, sequence=nn.Sequential(nn.Conv1d(4, 4, 1), nn.ReLU()))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    modules, parameters = list(model.named_modules()), list(model.named_parameters())
    with pytest.raises(ModelError, match="outputs differ"):
        insert_norms(model, X, data=X, inplace=True, optimizer=optimizer)
    assert list(model.named_modules()) == modules
    assert [(name, id(p)) for name, p in model.named_parameters()] == [
        (name, id(p)) for name, p in parameters
    ]
    assert [id(p) for p in optimizer.param_groups[0]["params"]] == [id(p) for _, p in parameters]


class TestStates:
    @pytest.mark.parametrize("build", [plain_net, written_net])
    def test_a_state_dict_of_before_can_be_loaded(self, build: Any) -> None:
        model = build()
        new, _ = insert_norms(model, X)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(1)
        missing, unexpected = new.load_state_dict(model.state_dict(), strict=False)
        weights = [[p for p in m.parameters() if p.dim() > 1] for m in (new, model)]
        torch.testing.assert_close(weights[0], weights[1], rtol=0, atol=0)
        assert all("norm" in name for name in missing)
        assert all(name.endswith("bias") for name in unexpected)

    @pytest.mark.parametrize("build", [plain_net, written_net])
    def test_its_own_state_dict_goes_round_strictly(self, build: Any) -> None:
        new, _ = insert_norms(build(), X, data=X)
        other, _ = insert_norms(build(), X)
        other.load_state_dict(new.state_dict())
        torch.testing.assert_close(other.eval()(X), new.eval()(X), rtol=0, atol=0)

    @pytest.mark.parametrize(
        "copied", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))], ids=["copy", "pickle"]
    )
    @pytest.mark.parametrize("build", [plain_net, written_net])
    def test_it_can_be_copied_and_pickled(self, build: Any, copied: Any) -> None:
        new, _ = insert_norms(build(), X, data=X)
        torch.testing.assert_close(copied(new).eval()(X), new.eval()(X), rtol=0, atol=0)

    @pytest.mark.parametrize("build", [plain_net, written_net])
    def test_it_can_be_compiled_as_a_whole(self, build: Any) -> None:
        new, _ = insert_norms(build(), X, data=X)
        compiled = torch.compile(new.eval(), backend="eager", fullgraph=True)
        torch.testing.assert_close(compiled(X), new(X), rtol=0, atol=0)


class TestOptimiser:
    def test_norms_join_the_group_of_the_weight_and_biases_leave(self) -> None:
        model = plain_net()
        optimizer = torch.optim.SGD(
            [
                {"params": [model[0].bias, model[5].bias]},
                {"params": [model[0].weight, model[2].weight], "lr": 0.2},
                {"params": [model[7].weight], "lr": 0.3},
            ],
            lr=0.1,
        )
        new, _ = insert_norms(model, X, optimizer=optimizer)
        layers = dict(new.named_children())
        expected = [[], ["0", "2", "0_norm", "0_norm", "2_norm", "2_norm"], ["7"]]
        names = {id(p): name.split(".")[0] for name, p in new.named_parameters()}
        assert [[names[id(p)] for p in g["params"]] for g in optimizer.param_groups] == expected
        # The optimiser doesn't have the weight of 5, and so not its γ and β.
        assert layers["5_norm"].weight.requires_grad

    def test_names_are_the_new_models(self) -> None:
        model = written_net()
        optimizer = torch.optim.SGD(model.named_parameters(), lr=0.1)
        new, _ = insert_norms(model, X, optimizer=optimizer)
        assert set(optimizer.param_groups[0]["param_names"]) == {name for name, _ in new.named_parameters()}

    def test_momentum_goes_along(self) -> None:
        model = plain_net()
        optimizer = torch.optim.Adam(model.parameters(), lr=0.1)
        model(X).square().mean().backward()
        optimizer.step()
        before = optimizer.state[model[0].weight]["exp_avg"].clone()
        new, _ = insert_norms(model, X, optimizer=optimizer)
        assert torch.equal(optimizer.state[new[0].weight]["exp_avg"], before)

    def test_it_is_left_as_it_was_on_an_error(self) -> None:
        model = plain_net()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        with pytest.raises(ArgumentError):
            insert_norms(model, X, data=[], optimizer=optimizer)
        assert [id(p) for p in optimizer.param_groups[0]["params"]] == [id(p) for p in model.parameters()]

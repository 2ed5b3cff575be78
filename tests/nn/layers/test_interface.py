"""Interface of torch's layer that ours keep: classes, signature, hooks, frozen parameters."""

import inspect

import pytest
import torch

from normwise import nn
from normwise.errors import ArgumentError


def test_layer_is_an_instance_of_torchs(kind):
    layer = kind.ours(3)
    assert isinstance(layer, torch.nn.modules.batchnorm._BatchNorm)
    if kind.ours is not nn.SyncBatchNorm:
        # DistributedDataParallel refuses torch's SyncBatchNorm on a CPU.
        assert isinstance(layer, kind.theirs)
    assert type(layer).__name__ == kind.theirs.__name__ or kind.settings


def test_constructor_is_torchs_and_then_ours(kind):
    def parameters(cls):
        signature = inspect.signature(cls.__init__).parameters.values()
        return [(p.name, p.kind, p.default) for p in signature]

    ours, theirs = parameters(kind.ours), parameters(kind.theirs)
    keyword = inspect.Parameter.KEYWORD_ONLY
    bias = ("bias", keyword, True)
    if bias not in theirs:  # torch before 2.13
        theirs.append(bias)
    if kind.ours is nn.SyncBatchNorm:
        theirs = [*dict.fromkeys([*parameters(torch.nn.SyncBatchNorm), bias])]
    assert ours[: -len(kind.settings) or None] == [
        *theirs,
        ("activation", keyword, None),
        ("inplace", keyword, False),
    ]
    assert {name: default for name, _, default in ours[len(ours) - len(kind.settings) :]} == kind.settings


def test_forward_takes_torchs_arguments_first():
    ours = list(inspect.signature(nn.BatchNorm2d.forward).parameters.values())
    theirs = list(inspect.signature(torch.nn.BatchNorm2d.forward).parameters.values())
    assert [p.name for p in ours[: len(theirs)]] == [p.name for p in theirs]
    assert {(p.name, p.kind, p.default) for p in ours[len(theirs) :]} == {
        (name, inspect.Parameter.KEYWORD_ONLY, None) for name in ("residual", "mask")
    }


def test_repr_is_torchs_and_then_the_activation(kind):
    plain, fused = kind.ours(3, eps=0.1), kind.ours(3, eps=0.1, activation="relu")
    more = {name: value for name, value in kind.settings.items() if name in repr(plain)}
    ending = "".join(f", {name}={value!r}" for name, value in more.items()) + ")"
    of_torch = repr(kind.theirs(3, eps=0.1)).replace(kind.theirs.__name__, kind.ours.__name__)
    assert repr(plain) == of_torch[:-1] + ending
    assert repr(fused) == of_torch[:-1] + ", activation='relu'" + ending


def test_unknown_activation_is_refused_at_construction(kind):
    with pytest.raises(ArgumentError, match="unknown activation 'swash'; known are None, 'relu'"):
        kind.ours(3, activation="swash")


def test_forward_hooks_see_input_keywords_and_output():
    layer, seen = nn.BatchNorm1d(3), []
    layer.register_forward_pre_hook(lambda _, args, kwargs: seen.append((args, kwargs)), with_kwargs=True)
    layer.register_forward_hook(lambda _, args, output: seen.append((args, output)))
    x, mask = torch.randn(4, 3), torch.tensor([True, True, False, True])
    output = layer(x, mask=mask)
    (before, kwargs), (after, seen_output) = seen
    assert before[0] is x
    assert after[0] is x
    assert kwargs["mask"] is mask
    assert seen_output is output


def test_full_backward_hook_sees_the_gradients():
    layer, seen = nn.BatchNorm1d(3, activation="relu"), []
    layer.register_full_backward_hook(
        lambda _, grad_input, grad_output: seen.extend([*grad_input, *grad_output])
    )
    x = torch.randn(4, 3, requires_grad=True)
    layer(x).backward(torch.ones(4, 3))
    grad_input, grad_output = seen
    torch.testing.assert_close(grad_input, x.grad, rtol=0, atol=0)
    torch.testing.assert_close(grad_output, torch.ones(4, 3), rtol=0, atol=0)


@pytest.mark.parametrize("masked", [False, True], ids=["full", "masked"])
def test_frozen_parameters_get_no_gradient_and_pass_the_inputs(masked):
    mask = torch.tensor([True, True, False, True]) if masked else None
    x, grad_output = torch.randn(4, 3), torch.randn(4, 3)
    gradients = []
    for frozen in (True, False):
        layer = nn.BatchNorm1d(3).requires_grad_(not frozen)
        leaf = x.clone().requires_grad_()
        layer(leaf, mask=mask).backward(grad_output)
        gradients.append(leaf.grad)
        assert (layer.weight.grad is None) is frozen
        assert (layer.bias.grad is None) is frozen
    torch.testing.assert_close(*gradients, rtol=0, atol=0)
    assert gradients[0].any()


def test_no_gradient_is_recorded_where_none_is_wanted():
    layer = nn.BatchNorm1d(3)
    with torch.no_grad():
        output = layer(torch.randn(4, 3), residual=torch.ones(4, 3, requires_grad=True))
    assert output.grad_fn is None
    assert layer(torch.randn(4, 3)).requires_grad


@pytest.mark.parametrize("masked", [False, True], ids=["full", "masked"])
def test_inputs_are_left_as_they_were(masked):
    x, residual = torch.randn(4, 3), torch.randn(4, 3)
    mask = torch.tensor([True, True, False, True])
    before = x.clone(), residual.clone(), mask.clone()
    nn.BatchNorm1d(3, activation="relu")(x, residual=residual, mask=mask if masked else None)
    torch.testing.assert_close((x, residual, mask), before, rtol=0, atol=0)

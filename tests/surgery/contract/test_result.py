"""The model that comes out: its outputs, keys, modes, ties and hooks, copied and pickled too."""

import copy
import io
from collections import Counter
from collections.abc import Callable
from itertools import combinations
from typing import Any

import pytest
import torch
from torch import nn


def test_outputs_stay_what_they_were_on_other_inputs_too(
    operation: Any, result: Any, outputs_of: Any
) -> None:
    if not operation.keeps_outputs:
        return
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(7)
        for shift in (0.0, 3.0, 30.0):
            other = torch.randn(5, 3, 6, 6) + shift
            inputs = (
                {"image": other, "scale": torch.tensor(2.0)} if isinstance(result.example, dict) else other
            )
            expected = outputs_of(result.old, inputs)
            allowed = 2e-4 * expected.abs().max().item()
            torch.testing.assert_close(outputs_of(result.new, inputs), expected, atol=allowed, rtol=0)


def test_copies_give_the_same(result: Any, outputs_of: Any) -> None:
    other = copy.deepcopy(result.new)
    assert torch.equal(outputs_of(other, result.example), outputs_of(result.new, result.example))
    assert list(other.state_dict()) == list(result.new.state_dict())


def test_pickles_give_the_same(subject: Any, result: Any, outputs_of: Any) -> None:
    file = io.BytesIO()
    if subject.name == "parametrized":
        # torch refuses to pickle parametrized modules.
        return
    torch.save(result.new, file)
    file.seek(0)
    other = torch.load(file, weights_only=False)
    assert torch.equal(outputs_of(other, result.example), outputs_of(result.new, result.example))
    assert list(other.state_dict()) == list(result.new.state_dict())


def test_keys_stay_where_they_are_promised_to(operation: Any, result: Any) -> None:
    if operation.keeps_keys:
        assert list(result.new.state_dict()) == list(result.old.state_dict())


def test_modes_stay(operation: Any, result: Any) -> None:
    modes = {path: module.training for path, module in result.old.named_modules()}
    assert len(set(modes.values())) == 2
    both = modes.keys() & result.modes.keys()
    assert {path: result.modes[path] for path in both} == {path: modes[path] for path in both}


def test_ties_stay(result: Any) -> None:
    before, now = _things(result.old), _things(result.new)
    ties = [(a, b) for (a, one), (b, other) in combinations(before.items(), 2) if one is other]
    assert all(now[a] is now[b] for a, b in ties if a in now and b in now)


def _things(model: nn.Module) -> dict[str, Any]:
    return {
        **dict(model.named_modules(remove_duplicate=False)),
        **{f"{name}!": value for name, value in model.named_parameters(remove_duplicate=False)},
    }


Hook = Callable[..., None]
KINDS: dict[str, Callable[[nn.Module, Hook], Any]] = {
    "forward": lambda module, hook: module.register_forward_hook(hook),
    "forward with keywords": lambda module, hook: module.register_forward_hook(hook, with_kwargs=True),
    "forward always": lambda module, hook: module.register_forward_hook(hook, always_call=True),
    "forward pre": lambda module, hook: module.register_forward_pre_hook(hook),
    "backward": lambda module, hook: module.register_full_backward_hook(hook),
    "backward pre": lambda module, hook: module.register_full_backward_pre_hook(hook),
}


@pytest.mark.parametrize("path", ["", "bn1", "relu1", "conv1", "block", "block.1", "head.2"])
def test_hooks_are_called_as_often_as_before(path: str, operation: Any, network: Any) -> None:
    called: Counter[str] = Counter()

    def counts(kind: str) -> Hook:
        return lambda *_: called.update([kind])

    model, example = network.model(), network.example()
    for kind, register in KINDS.items():
        register(model.get_submodule(path), counts(kind))
    reference = copy.deepcopy(model)
    new, _ = operation.call(model, example)

    def calls(model: nn.Module) -> Counter[str]:
        called.clear()
        for training in (False, True):
            model.train(training)
            model(example.clone().requires_grad_()).square().sum().backward()
        return called.copy()

    assert calls(new) == calls(reference) == Counter(dict.fromkeys(KINDS, 2))

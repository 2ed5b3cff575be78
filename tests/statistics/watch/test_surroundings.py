"""A watch leaves no trace: numbers, hooks, the random state, copies, what is compiled or transformed."""

import copy
import io
import math
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import normwise


def _model(variant: str) -> nn.Module:
    torch.manual_seed(0)
    activation = nn.ReLU(inplace=variant in ("torch", "ours"))  # the others need their output
    norms: dict[str, Callable[[], nn.Module]] = {
        "torch": lambda: nn.BatchNorm2d(4),
        "ours": lambda: normwise.nn.BatchNorm2d(4),
        "ours fused": lambda: normwise.nn.BatchNorm2d(4, activation="relu"),
        "ours in place": lambda: normwise.nn.BatchNorm2d(4, activation="leaky_relu", inplace=True),
    }
    made = norms[variant]
    return nn.Sequential(
        nn.Conv2d(2, 4, 3), made(), activation, nn.Conv2d(4, 4, 3), made(),
        nn.Dropout(0.5), nn.Flatten(), nn.Linear(16, 3),
    )  # fmt: skip


def _bits(model: nn.Module, watched: bool, folder: Path) -> list[Tensor]:
    """All that a training leaves: parameters, buffers, losses, the random state."""
    optimiser = torch.optim.SGD(model.parameters(), 0.1, momentum=0.9)
    losses = []

    def train() -> None:
        for _ in range(5):
            optimiser.zero_grad()
            loss = model(torch.randn(8, 2, 6, 6)).square().mean()
            loss.backward()
            losses.append(loss.detach())
            optimiser.step()

    if watched:
        with normwise.watch(model, every=2, to=folder / "recording"):
            train()
    else:
        train()
    return [*losses, *model.state_dict().values(), torch.get_rng_state()]


@pytest.mark.parametrize("variant", ["torch", "ours", "ours fused", "ours in place"])
def test_training_gives_the_same_bits(implementation: str, variant: str, tmp_path: Path) -> None:
    plain = _bits(_model(variant), False, tmp_path)
    watched = _bits(_model(variant), True, tmp_path)
    assert all(torch.equal(a, b) for a, b in zip(plain, watched, strict=True))


def test_a_second_derivative_is_what_it_was() -> None:
    def penalty(watched: bool) -> tuple[list[Tensor], float]:
        model, x = (
            _model("torch").double().eval(),
            torch.randn(4, 2, 6, 6, dtype=torch.float64, requires_grad=True),
        )
        model.train()
        model[5].eval()  # pyright: ignore[reportIndexIssue]

        def step() -> None:
            (gradient,) = torch.autograd.grad(model(x).sum(), x, create_graph=True)
            gradient.square().sum().backward()

        found = math.nan
        if watched:
            with normwise.watch(model) as recording:
                step()
            found = recording.points[0].layers["1"].weight_grad
        else:
            step()
        return [p.grad for p in model.parameters() if p.grad is not None], found

    torch.manual_seed(1)
    plain, _ = penalty(False)
    torch.manual_seed(1)
    watched, norm = penalty(True)
    assert len(plain) == len(watched) > 0
    assert all(torch.equal(a, b) for a, b in zip(plain, watched, strict=True))
    assert norm > 0


@pytest.mark.parametrize("exception", [ValueError, KeyboardInterrupt])
def test_hooks_go_after_an_exception_and_the_records_stay(
    deep: nn.Sequential,
    images: Tensor,
    state: Callable[[nn.Module], object],
    exception: type[BaseException],
) -> None:
    hooks = state(deep.eval())
    watched = []

    def fail() -> None:
        with normwise.watch(deep, every=1) as recording:
            watched.append(recording)
            deep.train()(images).sum().backward()
            raise exception

    with pytest.raises(exception):
        fail()
    assert _hooks(hooks) == _hooks(state(deep))
    assert [point.step for point in watched[0].points] == [0]
    assert all(parameter._backward_hooks is None for parameter in deep.parameters())


def _hooks(state: Any) -> object:
    return state[-1]


def test_an_exception_in_a_pass_takes_its_hooks_and_its_record_along(
    deep: nn.Sequential, images: Tensor
) -> None:
    class Broken(Exception):
        pass

    def fail(*_: object) -> None:
        raise Broken

    with normwise.watch(deep, every=1) as recording:
        failing = deep[3].register_forward_pre_hook(fail)
        with pytest.raises(Broken):
            deep(images)
        failing.remove()
        deep.eval()(images)
        assert not deep[1]._forward_pre_hooks
        deep.train()(images)
    assert [point.step for point in recording.points] == [1]


def test_between_records_no_layer_has_a_hook(deep: nn.Sequential, images: Tensor) -> None:
    with normwise.watch(deep, every=3):
        for _ in range(2):
            deep(images).sum().backward()
            assert not any(module._forward_hooks for module in deep.modules())
            assert [module for module in deep.modules() if module._forward_pre_hooks] == [deep]
        assert all(parameter._backward_hooks is None for parameter in deep.parameters())


def test_no_activation_is_kept(deep: nn.Sequential, images: Tensor) -> None:
    outputs = []
    deep[2] = nn.ReLU()
    hook = deep[1].register_forward_hook(lambda _, inputs, output: outputs.append(weakref.ref(output)))
    with normwise.watch(deep, every=1):
        deep(images).sum().backward()
        assert [output() for output in outputs] == [None]
    hook.remove()


def test_hooks_of_others_stay(deep: nn.Sequential, images: Tensor) -> None:
    called = []
    weight = deep[1].get_parameter("weight")
    hook = weight.register_hook(lambda gradient: called.append(gradient.shape))
    with normwise.watch(deep, every=1):
        deep(images).sum().backward()
    deep(images).sum().backward()
    assert len(called) == 2
    hook.remove()


def test_watches_are_nested(deep: nn.Sequential, images: Tensor) -> None:
    with normwise.watch(deep, every=1) as outer:
        deep(images).sum().backward()
        with normwise.watch(deep, every=1) as inner:
            deep(images).sum().backward()
        deep(images).sum().backward()
    assert [[point.step for point in watched.points] for watched in (outer, inner)] == [[0, 1, 2], [0]]
    assert outer.points[1].layers == inner.points[0].layers


def test_a_copy_and_a_file_of_a_watched_model_are_not_watched(
    deep: nn.Sequential, images: Tensor, tmp_path: Path
) -> None:
    with normwise.watch(deep, every=1, to=tmp_path / "recording") as recording:
        deep(images).sum().backward()
        copied = copy.deepcopy(deep)
        file = io.BytesIO()
        torch.save(deep, file)
        file.seek(0)
        loaded = torch.load(file, weights_only=False)
        for other in (copied, loaded):
            other(images).sum().backward()
    assert recording.steps == 1


@pytest.mark.usefixtures("compiler_caches_cleared")
@pytest.mark.parametrize("fullgraph", [True, False])
def test_a_compiled_model_is_recorded_eagerly_and_compiled_between(fullgraph: bool) -> None:
    compiled_calls = 0

    def backend(graph: torch.fx.GraphModule, _: object) -> Callable[..., Any]:
        def run(*args: Any) -> Any:
            nonlocal compiled_calls
            compiled_calls += 1
            return graph.forward(*args)

        return run

    model = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8))
    compiled = torch.compile(model, backend=backend, fullgraph=fullgraph)
    x = torch.randn(16, 4)
    with normwise.watch(compiled, every=3) as recording:  # pyright: ignore[reportArgumentType]
        for _ in range(5):
            compiled(x).square().sum().backward()
    assert compiled_calls == 3
    assert [(point.step, list(point.layers)) for point in recording.points] == [
        (0, ["_orig_mod.1"]), (3, ["_orig_mod.1"]),
    ]  # fmt: skip
    assert recording.points[1].layers["_orig_mod.1"].weight_grad > 0
    compiled(x)
    assert compiled_calls == 4


class _Block(nn.Module):
    """torch compiles no container of its own in place."""

    def __init__(self) -> None:
        super().__init__()
        self.linear, self.norm = nn.Linear(4, 8), nn.BatchNorm1d(8)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.linear(x))


def _in_place(model: nn.Module, block: nn.Module) -> None:
    model.compile(backend="eager", fullgraph=True)


def _a_part(model: nn.Module, block: nn.Module) -> None:
    block.compile(backend="eager", fullgraph=True)


def _a_forward(model: nn.Module, block: nn.Module) -> None:
    block.forward = torch.compile(block.forward, backend="eager", fullgraph=True)


class _Outer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.block = _Block()

    def forward(self, x: Tensor) -> Tensor:
        return self.block(x).relu()


@pytest.mark.usefixtures("compiler_caches_cleared")
@pytest.mark.parametrize("compile", [_in_place, _a_part, _a_forward])
def test_what_is_compiled_elsewhere_is_recorded_eagerly_too(
    compile: Callable[[nn.Module, nn.Module], None],
) -> None:
    model, x = _Outer(), torch.randn(16, 4)
    compile(model, model.block)
    called = model._compiled_call_impl
    with normwise.watch(model, every=2) as recording:
        for _ in range(4):
            model(x).square().sum().backward()
        copy.deepcopy(model)(x)
    assert recording.steps == 4
    assert [(point.step, list(point.layers)) for point in recording.points] == [
        (0, ["block.norm"]),
        (2, ["block.norm"]),
    ]
    layer = recording.points[1].layers["block.norm"]
    assert layer.output_grad > 0
    assert layer.calls == 1
    assert model._compiled_call_impl is called
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())
    model(x)


@pytest.mark.usefixtures("compiler_caches_cleared")
def test_a_failed_pass_of_a_model_compiled_in_place_leaves_the_next_one_whole() -> None:
    model, x = _Outer(), torch.randn(16, 4)
    model.compile(backend="eager", fullgraph=True)
    with normwise.watch(model, every=1) as recording:
        with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
            model(torch.randn(16, 5))
        model(x)
    assert [point.step for point in recording.points] == [1]
    model(x)  # fullgraph fails where the stance is still that of a record, or hooks are left


@pytest.mark.usefixtures("compiler_caches_cleared")
@pytest.mark.parametrize("fails", [False, True], ids=["whole pass", "failing pass"])
def test_watches_that_end_in_any_order_leave_compiling_as_it_was(fails: bool) -> None:
    calls = 0

    def backend(graph: torch.fx.GraphModule, _: object) -> Callable[..., Any]:
        nonlocal calls
        calls += 1
        return graph.forward

    model, x = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8)), torch.randn(16, 4)
    compiled = torch.compile(model, backend=backend)
    watched: Any = compiled
    with normwise.watch(watched, every=200), normwise.watch(watched, every=200):
        if fails:
            with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
                compiled(torch.randn(16, 5))
        else:
            compiled(x)
        assert calls == 0
        compiled(x)
    assert calls == 1


@pytest.mark.usefixtures("compiler_caches_cleared")
def test_the_original_of_a_compiled_model_is_not_seen_and_that_is_said() -> None:
    model = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8))
    compiled = torch.compile(model, backend="eager", fullgraph=True)
    with (
        pytest.warns(UserWarning, match="or its compiled form was, which should be watched itself"),
        normwise.watch(model),
    ):
        compiled(torch.randn(16, 4)).sum().backward()


def test_a_transformed_pass_is_let_through() -> None:
    model, x = nn.Sequential(nn.BatchNorm1d(3, track_running_stats=False)), torch.randn(5, 3)
    parameters: dict[str, Tensor] = dict(model.named_parameters())

    def loss(parameters: dict[str, Tensor]) -> Tensor:
        return torch.func.functional_call(model, parameters, (x,)).square().sum()

    wanted = torch.func.grad(loss)(parameters)
    with normwise.watch(model) as recording:
        got = torch.func.grad(loss)(parameters)
        model(x)
    assert recording.steps == 1
    assert all(torch.equal(got[name], wanted[name]) for name in wanted)


def test_a_trace_has_nothing_of_the_watch() -> None:
    model, x = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2)), torch.randn(5, 3)
    with normwise.watch(model, every=1) as recording:
        model(x)
        program = torch.export.export(model, (x,))
    assert recording.steps == 1
    assert "vector_norm" not in str(program)

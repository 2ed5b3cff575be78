"""A checkpoint as TARGET with its ``--model``, and what is said where they do not fit."""

from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from normwise.cli.inputs.cli_target import load_target, with_statistics
from normwise.cli.inputs.load_state import load_state
from normwise.errors import ArgumentError, DataError, ModelError


def _same(model: nn.Module, other: nn.Module) -> bool:
    a, b = model.state_dict(), other.state_dict()
    return a.keys() == b.keys() and all(
        torch.equal(a[key], b[key]) and a[key].dtype == b[key].dtype for key in a
    )


def _saved(state: Any, name: str = "state.pt") -> str:
    torch.save(state, name)
    return name


@pytest.mark.parametrize(
    "wrap",
    [
        lambda model: model,
        nn.DataParallel,
        lambda model: torch.compile(model, backend="eager"),
        lambda model: nn.DataParallel(nn.Sequential(OrderedDict(_orig_mod=model))),  # as of a compiled one
        AveragedModel,
    ],
    ids=["plain", "DataParallel", "compiled", "both", "averaged"],
)
def test_a_checkpoint_is_loaded_whatever_the_network_was_wrapped_in(
    folder: Path, trained: nn.Module, wrap: Callable[[nn.Module], nn.Module]
) -> None:
    target = load_target(_saved(wrap(trained).state_dict()), "net.py:plain")
    assert target.without_statistics == ()
    assert _same(target.model, trained)


def test_a_network_that_is_wrapped_itself_is_loaded_as_it_is(folder: Path, trained: nn.Module) -> None:
    (folder / "wrapped.py").write_text(
        "from torch import nn\nimport net\ndef model(): return nn.DataParallel(net.plain())"
    )
    wrapped = nn.DataParallel(trained)
    assert _same(load_target(_saved(wrapped.state_dict()), "wrapped.py:model").model, wrapped)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
def test_the_network_takes_on_the_types_of_the_checkpoint(
    folder: Path, trained: nn.Module, dtype: torch.dtype
) -> None:
    trained.to(dtype)
    trained.get_submodule("1").float()  # as those do who keep BN in full precision
    assert _same(load_target(_saved(trained.state_dict()), "net.py:plain").model, trained)


def test_tied_parameters_stay_tied_and_one_of_their_keys_is_enough(folder: Path) -> None:
    (folder / "tied.py").write_text(
        "from torch import nn\n"
        "def model():\n    layer = nn.Linear(2, 2)\n    return nn.Sequential(layer, nn.ReLU(), layer)\n"
    )
    state = {"0.weight": torch.ones(2, 2, dtype=torch.float64), "0.bias": torch.zeros(2, dtype=torch.float64)}
    model = load_target(_saved(state), "tied.py:model").model
    assert model.get_submodule("0") is model.get_submodule("2")
    assert model.get_parameter("2.weight").dtype == torch.float64
    assert model.get_parameter("2.weight").sum() == 4


def test_what_lies_beside_the_weights_is_told(
    folder: Path, trained: nn.Module, capsys: pytest.CaptureFixture[str]
) -> None:
    content = {"state_dict": trained.state_dict(), "epoch": 3, "a": 1, "b": 2, "c": 3}
    assert _same(load_target(_saved(content), "net.py:plain").model, trained)
    assert (
        capsys.readouterr().err
        == "note: besides the weights, state.pt has epoch, a, b and 1 more, which are left out\n"
    )


# https://github.com/pytorch/pytorch/issues/8430
def test_missing_counters_are_no_error(folder: Path, trained: nn.Module) -> None:
    state = trained.state_dict()  # with its version, so that torch does not fill in what is missing
    for key in [key for key in state if key.endswith("num_batches_tracked")]:
        del state[key]
    with pytest.raises(RuntimeError, match="num_batches_tracked"):
        trained.load_state_dict(state)
    target = load_target(_saved(state), "net.py:plain")
    assert target.without_statistics == ()
    assert _same(with_statistics(target), trained)


@pytest.mark.parametrize("lacking", [("running_mean",), ("running_var",), ("running_mean", "running_var")])
def test_layers_without_statistics_are_told_and_refused_where_they_are_needed(
    folder: Path, trained: nn.Module, lacking: tuple[str, ...]
) -> None:
    state = {
        key: value for key, value in trained.state_dict().items() if key.rpartition(".")[2] not in lacking
    }
    target = load_target(_saved(state), "net.py:plain")
    assert target.without_statistics == ("1", "4")
    message = (
        "state.pt has no running statistics of 1, 4; compute them first: normwise calibrate state.pt --model"
    )
    with pytest.raises(DataError, match=message):
        with_statistics(target)


def test_a_checkpoint_without_its_network_is_one_error(folder: Path, trained: nn.Module) -> None:
    with pytest.raises(
        ArgumentError,
        match=r"state\.pt contains no network: name it by --model file\.py:name, or --model RUN$",
    ):
        load_target(_saved(trained.state_dict()), None)


def test_a_network_for_what_is_no_checkpoint_is_one_error(folder: Path) -> None:
    message = (
        r"--model is for checkpoints \(.safetensors, .pt, .pth, .ckpt\), and net.py:plain is not one; leave"
    )
    with pytest.raises(ArgumentError, match=message):
        load_target("net.py:plain", "net.py:plain")


def test_another_network_is_one_error_that_names_a_few_keys(folder: Path, trained: nn.Module) -> None:
    with pytest.raises(ModelError) as raised:
        load_target(_saved(trained.state_dict()), "net.py:other")
    message = str(raised.value)
    assert message.startswith("state.pt does not fit net.py:other: size mismatch for 0.weight: ")
    assert message.endswith("Name by --model the network that it was saved from")
    assert " more. Name" in message
    assert "\n" not in message


def _renamed(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {key.replace("8.", "head."): value for key, value in state.items()}


def _cut(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {key: value for key, value in state.items() if key.startswith("0.")}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            _renamed,
            "it lacks 8.weight, 8.bias; it has head.weight, head.bias, which the network lacks. Name by --model",
        ),
        (_cut, "it lacks 1.weight, 1.bias, 3.weight and 5 more. Name by --model"),
    ],
)
def test_keys_that_do_not_fit_are_one_error(
    trained: nn.Module, change: Callable[[dict[str, Tensor]], dict[str, Tensor]], message: str
) -> None:
    with pytest.raises(ModelError) as raised:
        load_state(trained, change(dict(trained.state_dict())), "state.pt", "net.py:plain")
    assert str(raised.value).startswith(f"state.pt does not fit net.py:plain: {message}")

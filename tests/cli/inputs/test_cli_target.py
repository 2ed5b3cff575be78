"""Meaning of TARGET, ``--model`` and ``--data``, and the errors if they name nothing."""

import sys
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from normwise.cli.inputs.cli_target import CliTarget, load_target, with_statistics
from normwise.cli.inputs.load_state import load_state
from normwise.cli.inputs.target_data import first_batch, load_batches
from normwise.cli.inputs.user_code import named_object, running
from normwise.data import load_data
from normwise.data.registry import NAMED_DATA
from normwise.errors import ArgumentError, DataError, ModelError, NormwiseError, RunError
from normwise.records import RunConfig
from normwise.training import train


def _same(model: nn.Module, other: nn.Module) -> bool:
    a, b = model.state_dict(), other.state_dict()
    return a.keys() == b.keys() and all(
        torch.equal(a[key], b[key]) and a[key].dtype == b[key].dtype for key in a
    )


# --- named objects ---


@pytest.mark.parametrize(
    "line",
    ["model = nn.ReLU()", "def model(): return nn.ReLU()", "model = nn.ReLU", "class Any: model = nn.ReLU()"],
)
def test_a_model_is_an_object_or_what_makes_one(folder: Path, line: str) -> None:
    (folder / "my-net.py").write_text(f"from torch import nn\n{line}\n")
    name = "Any.model" if "class" in line else "model"
    assert isinstance(load_target(f"my-net.py:{name}", None).model, nn.ReLU)


def test_a_module_of_the_current_folder_is_found(folder: Path) -> None:
    (folder / "package").mkdir()
    (folder / "package" / "nets.py").write_text("from torch import nn\nmodel = nn.ReLU()\n")
    assert isinstance(load_target("package.nets:model", None).model, nn.ReLU)


def test_a_file_elsewhere_imports_from_its_own_folder_and_from_the_current_one(folder: Path) -> None:
    (folder / "code").mkdir()
    (folder / "code" / "beside.py").write_text("width = 3\n")
    (folder / "here.py").write_text("depth = 2\n")
    (folder / "code" / "mine.py").write_text("from beside import width\nfrom here import depth\n")
    assert named_object("code/mine.py:width") == 3
    assert named_object("code/mine.py:depth") == 2


def test_a_file_is_imported_once_whoever_names_it(folder: Path) -> None:
    (folder / "counted.py").write_text("with open('n', 'a') as file:\n    file.write('x')\nvalue = []\n")
    (folder / "importer.py").write_text("from counted import value\n")
    first = named_object("importer.py:value")
    assert named_object("counted.py:value") is first
    assert named_object("./counted.py:value") is first
    assert named_object("counted:value") is first
    assert (folder / "n").read_text() == "x"


def test_a_file_may_have_the_name_of_a_module(folder: Path) -> None:
    (folder / "json.py").write_text("import json as own\nvalue = 1\n")
    before = sys.modules["json"]
    assert named_object("json.py:value") == 1
    assert sys.modules["json"] is before


def test_what_the_file_prints_is_not_the_commands_output(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "loud.py").write_text("print('loading')\nvalue = 1\n")
    named_object("loud.py:value")
    assert capsys.readouterr() == ("", "loading\n")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("model", "'model' is not a network: expected file.py:name"),
        (":model", "':model' names nothing; expected file.py:name"),
        ("net.py:", "'net.py:' names nothing"),
        ("none.py:model", "there is no file none.py; it is looked for from "),
        ("none.nets:model", "there is no module 'none'; it is looked for in "),
        ("net.py:nothing", "net.py has no 'nothing'; it has plain, other, loader"),
        ("net.py:plain.deeper", "net.py has no 'plain.deeper'"),
        (
            "net.py:number",
            "net.py:number is of type int; expected a torch.nn.Module, or a function that makes one",
        ),
        ("net.py:gives", "net.py:gives gives of type int; expected it to give a torch.nn.Module"),
        ("net.py:needs", "net.py:needs needs the arguments width, depth; name a function that needs none"),
    ],
)
def test_what_names_no_model_is_one_error(folder: Path, name: str, message: str) -> None:
    with (folder / "net.py").open("a") as file:
        file.write("number = 3\ndef gives(): return 3\ndef needs(width, depth, *, scale=1): pass\n")
    with pytest.raises(ArgumentError) as raised:
        load_target(name, None)
    assert str(raised.value).startswith(message)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("x = 1\ndef model(:\n", "bad.py: SyntaxError: invalid syntax (bad.py, line 2)"),
        ("x = 1\ny = 1 / 0\n", "bad.py: ZeroDivisionError: division by zero (bad.py, line 2)"),
        (
            "import nothing_like_it\n",
            "bad.py: ModuleNotFoundError: No module named 'nothing_like_it' (bad.py, line 1)",
        ),
        ("import math\nmath.sqrt('')\n", "bad.py: TypeError: must be real number, not str (bad.py, line 2)"),
        (
            "import torch\ntorch.zeros(2).view(3)\n",
            "bad.py: RuntimeError: shape '[3]' is invalid for input of size 2",
        ),
        ("raise ValueError\n", "bad.py: ValueError: without a text (bad.py, line 1)"),
        (
            "import sys\nsys.exit(3)\n",
            "bad.py ends the program (SystemExit: 3 (bad.py, line 2)); put what does that",
        ),
        ("def model():\n    raise KeyError('x')\n", "bad.py:model: KeyError: 'x' (bad.py, line 2)"),
        ("from inner import model\n", "bad.py: ValueError: deep (inner.py, line 1)"),
    ],
)
def test_an_error_in_the_users_file_is_one_line_with_its_type_and_place(
    folder: Path, content: str, message: str
) -> None:
    (folder / "bad.py").write_text(content)
    (folder / "inner.py").write_text("raise ValueError('deep')\n")
    with pytest.raises(DataError) as raised:
        load_target("bad.py:model", None)
    assert str(raised.value).startswith(message)
    assert "\n" not in str(raised.value)
    # What was not imported to its end is imported anew.
    assert "bad" not in sys.modules or content.startswith("def model():")


def test_an_import_that_a_module_lacks_is_not_taken_for_the_module(folder: Path) -> None:
    (folder / "lacking.py").write_text("import nothing_like_it\n")
    with pytest.raises(
        DataError, match=r"lacking: ModuleNotFoundError: .*nothing_like_it.* \(lacking\.py, line 1\)"
    ):
        load_target("lacking:model", None)


@pytest.mark.parametrize("error", [ArgumentError("said"), KeyboardInterrupt("said")])
def test_errors_of_normwise_and_interruptions_pass(error: BaseException) -> None:
    with pytest.raises(type(error), match=r"^said$"), running("it"):
        raise error


def test_a_mistake_of_normwise_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "normwise.cli.inputs.user_code._is_own", lambda file: False
    )  # this test's file is a user's
    with pytest.raises(ZeroDivisionError), running("it", with_ours=True):
        _ = 1 / 0
    with pytest.raises(DataError, match="it: RuntimeError: mat1"), running("it", with_ours=True):
        nn.Linear(2, 2)(torch.zeros(1, 3))


# --- checkpoints ---


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


# --- runs ---


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "run"
    config = RunConfig(
        model="dense_bn", data="digits", norm="batch", steps=5, batch_size=50, lr=0.01, seed=3, eval_every=5,
        optimizer="adam", train_samples=250, test_samples=50, dtype="float64", options={"placement": "after"},
    )  # fmt: skip
    train(config, folder)
    return folder


def test_a_run_is_its_network_with_its_weights_and_its_data(run: Path) -> None:
    target = load_target(str(run), None)
    state = target.model.state_dict()
    saved = load_file(run / "checkpoint.safetensors")
    assert all(torch.equal(saved[f"model.{key}"], value) for key, value in state.items())
    assert state["output.weight"].dtype == torch.float64
    data: Any = load_batches(None, target)
    batches = list(data)
    assert [len(batch) for batch in batches] == [100, 100, 50]
    assert torch.equal(torch.cat(batches), load_data("image", "digits").train_images[:250].double())


def test_the_checkpoint_of_a_run_is_told_to_be_in_a_run(run: Path) -> None:
    with pytest.raises(ArgumentError, match=f"or give the folder of the run, {run}$"):
        load_target(str(run / "checkpoint.safetensors"), None)


def test_a_folder_that_is_no_run_and_one_without_a_checkpoint_are_one_error(run: Path, folder: Path) -> None:
    with pytest.raises(RunError, match=r"holds no run: it has no run\.json"):
        load_target(str(folder), None)
    (folder / "begun").mkdir()
    head = (run / "run.json").read_text()
    (folder / "begun" / "run.json").write_text(head[: head.index('"result"')] + '"result": null}')
    with pytest.raises(RunError, match=r"begun has no checkpoint\.safetensors yet; resume the run first"):
        load_target("begun", None)


# --- data ---


def _data(data: str | None, model: nn.Module | None = None) -> Any:
    return load_batches(data, CliTarget("it", model or nn.ReLU()))


def test_a_generator_is_made_anew_for_each_pass(folder: Path, batches: list[Tensor]) -> None:
    data = _data("net.py:loader")
    for _ in range(3):
        assert all(torch.equal(a, b) for a, b in zip(data, batches, strict=True))


@pytest.mark.parametrize(
    "line",
    [
        "data = [torch.ones(2, 3)]",
        "data = torch.ones(2, 3)",
        "def data(): return [torch.ones(2, 3)]",
        "def data(): return torch.ones(2, 3)",
        "data = torch.utils.data.DataLoader(torch.ones(2, 3), batch_size=2)",
        "data = lambda: torch.utils.data.DataLoader(torch.ones(2, 3), batch_size=2)",
        "class data:\n    def __iter__(self): yield torch.ones(2, 3)",
    ],
)
def test_data_is_batches_or_what_gives_them(folder: Path, line: str) -> None:
    (folder / "data.py").write_text(f"import torch, torch.utils.data\n{line}\n")
    assert torch.equal(first_batch("data.py:data", CliTarget("it", nn.ReLU())), torch.ones(2, 3))


def test_the_first_batch_is_moved_to_the_network_and_else_left_as_it_is(folder: Path) -> None:
    (folder / "data.py").write_text("import torch\ndata = [(torch.ones(2, 3), torch.arange(2), 'name')]\n")
    images, labels, name = first_batch("data.py:data", CliTarget("it", nn.Linear(3, 3, device="meta").half()))
    assert (images.device.type, images.dtype, labels.device.type, name) == (
        "meta",
        torch.float32,
        "meta",
        "name",
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_a_known_data_set_is_its_training_images_in_the_type_of_the_network(dtype: torch.dtype) -> None:
    data = _data("digits", nn.Linear(1, 1).to(dtype))
    assert [len(batch) for batch in data] == [100] * 12 + [97]
    assert torch.equal(torch.cat(list(data)), load_data("image", "digits").train_images.to(dtype))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (
            None,
            "--data is missing; expected file.py:name or package.module:name of a loader, "
            f"{', '.join(known.name for known in NAMED_DATA)}, or a folder of images",
        ),
        ("cifar", "--data cifar is neither a folder nor a data set; expected file.py:name"),
        (
            "net.py:number",
            "net.py:number is of type int; expected batches, a loader, or a function that gives one",
        ),
        ("net.py:text", "net.py:text is of type str; expected batches"),
        ("net.py:model", "net.py:model is of type Linear; expected batches"),
        ("net.py:plain", "net.py:plain is of type Sequential; expected batches"),
        (
            "net.py:samples",
            "net.py:samples is a data set, which gives single samples; make batches of them: ",
        ),
        ("net.py:nothing", "net.py has no 'nothing'"),
        ("net.py:broken", "net.py:broken: OSError: no such disk (net.py, line "),
        ("net.py:needs", "net.py:needs needs the arguments path"),
    ],
)
def test_what_is_no_data_is_one_error(folder: Path, data: str | None, message: str) -> None:
    with (folder / "net.py").open("a") as file:
        file.write(
            "import torch.utils.data\nnumber, text, model = 3, 'abc', nn.Linear(1, 1)\n"
            "samples = torch.utils.data.TensorDataset(torch.zeros(3, 1))\n"
            "def broken(): raise OSError('no such disk')\n"
            "def needs(path): pass\n"
        )
    with pytest.raises(NormwiseError) as raised:
        _data(data)
    assert str(raised.value).startswith(message)


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ("    return iter(())", "data.py:data has no batches; expected one at least"),
        ("    raise ValueError('torn')\n    yield", "data.py:data: ValueError: torn (data.py, line 2)"),
    ],
)
def test_a_loader_without_a_first_batch_is_one_error(folder: Path, lines: str, message: str) -> None:
    (folder / "data.py").write_text(f"def data():\n{lines}\n")
    with pytest.raises(DataError) as raised:
        first_batch("data.py:data", CliTarget("it", nn.ReLU()))
    assert str(raised.value) == message


def test_an_error_in_a_process_of_a_loader_is_one_line(folder: Path) -> None:
    (folder / "data.py").write_text(
        "def data():\n"
        "    raise ValueError('Caught ValueError in DataLoader worker process 0.\\nOriginal Traceback (most recent '\n"
        "                     'call last):\\n  File \"data.py\", line 4\\nValueError: torn')\n"
        "    yield\n"
    )
    with pytest.raises(
        DataError, match=r"^data\.py:data: ValueError: ValueError: torn \(data\.py, line 2\)$"
    ):
        first_batch("data.py:data", CliTarget("it", nn.ReLU()))

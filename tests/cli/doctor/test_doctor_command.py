"""``normwise doctor`` as a user meets it: what it takes, prints and ends with."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from normwise.cli.inputs.user_code import named_object
from normwise.doctor import all_rules
from normwise.records import Examination, from_plain

Command = Callable[..., Any]
_DATA = ("--data", "train.py:loader")
_STALE = ("doctor", "train.py:stale", *_DATA)


def _examination(done: Any) -> Examination:
    return from_plain(Examination, json.loads(done.out))


def _codes(done: Any) -> list[str]:
    return [finding.code for finding in _examination(done).findings]


def test_a_healthy_network_is_a_short_clean_bill_and_exit_code_0(normwise: Command) -> None:
    done = normwise("doctor", "train.py:healthy", *_DATA, "--loss", "train.py:loss")
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith("train.py:healthy: healthy")
    assert len(done.out.splitlines()) < 12


def test_findings_are_exit_code_1_with_evidence_and_fix(normwise: Command) -> None:
    done = normwise(*_STALE)
    assert (done.code, done.err) == (1, "")
    for part in ("error BN201 stale-statistics in 1 (BatchNorm1d)", "σ", "normwise.calibrate(model, loader)"):
        assert part in done.out


def test_json_is_the_record(normwise: Command) -> None:
    done = normwise(*_STALE, "--json")
    assert done.code == 1
    assert _examination(done).target == "train.py:stale"
    assert _codes(done)[0] == "BN201"
    assert _codes(normwise(*_STALE, "--format", "json")) == _codes(done)


def test_quiet_is_one_line_a_finding_and_nothing_for_a_healthy_network(normwise: Command) -> None:
    done = normwise(*_STALE, "--quiet", "--select", "BN201")
    assert done.code == 1
    (line,) = done.out.splitlines()
    assert line.startswith("error BN201 stale-statistics: The running statistics are not")
    done = normwise("doctor", "train.py:held", *_DATA, "-q")
    assert (done.code, done.out, done.err) == (0, "", "")


def test_several_layers_are_lines_of_a_table(normwise: Command) -> None:
    lines = normwise("doctor", "train.py:several", *_DATA, "--select", "BN201").out.splitlines()
    (title,) = (line for line in lines if line.split()[:1] == ["layer"])
    rows = [line for line in lines if line.split()[:1] in (["1"], ["3"])]
    assert len(rows) == 2
    assert all(row.index("σ") > title.index("layer") for row in rows)


def test_rules_are_selected_and_ignored_by_codes_names_and_beginnings(normwise: Command) -> None:
    assert set(_codes(normwise(*_STALE, "--json", "--select", "BN2"))) >= {"BN201"}
    assert _codes(normwise(*_STALE, "--json", "--select", "stale-statistics,BN101")) == ["BN201"]
    ignoring = normwise(*_STALE, "--json", "--select", "BN201,BN101", "--ignore", "BN2")
    assert (ignoring.code, _codes(ignoring)) == (0, [])


def test_the_number_of_batches_is_an_option(normwise: Command) -> None:
    assert _examination(normwise(*_STALE, "--json", "--max-batches", "2")).batches == 2


@pytest.mark.parametrize("loss", ["loss", "criterion", "make_loss"])
def test_a_loss_is_a_module_a_class_or_a_function_that_makes_one(normwise: Command, loss: str) -> None:
    done = normwise(*_STALE, "--loss", f"train.py:{loss}", "--json")
    assert _examination(done).running.loss > 0


def test_an_optimizer_is_made_of_the_model_or_held_beside_it(normwise: Command) -> None:
    for target, optimizer in (("healthy", "optimizer"), ("held", "optimizer"), ("held", "held_optimizer")):
        options = ("--loss", "train.py:loss", "--optimizer", f"train.py:{optimizer}", "--json")
        done = normwise("doctor", f"train.py:{target}", *_DATA, *options)
        assert "they need the optimizer" not in _examination(done).skipped.values(), done.err


def test_a_network_that_is_made_is_examined_in_evaluation_unless_it_is_to_be_trained(
    normwise: Command, folder: Path
) -> None:
    (folder / "modes.py").write_text(
        "from torch import nn\n"
        "class Model(nn.BatchNorm1d):\n"
        "    def __init__(self):\n        super().__init__(4)\n"
        "    def forward(self, x):\n        return super().forward(x)\n"
        "    def eval(self):\n        print('evaluation')\n        return super().eval()\n"
        "held = Model()\n"
        "def make():\n    return Model()\n"
        "def loss(model, batch):\n    return model(batch[0]).square().mean()\n"
    )
    options = ("--select", "BN201", "-q")
    assert "evaluation" in normwise("doctor", "modes.py:make", *options).out
    assert "evaluation" not in normwise("doctor", "modes.py:held", *options).out
    assert "evaluation" not in normwise("doctor", "modes.py:make", "--loss", "modes.py:loss", *options).out


def test_a_known_data_set_comes_with_labels(normwise: Command, folder: Path) -> None:
    done = normwise("doctor", "net.py:plain", "--data", "digits", "--max-batches", "2", "--json")
    examination = _examination(done)
    assert examination.batches == 2
    assert 0 <= examination.running.accuracy <= 1


def test_a_run_is_examined_on_its_own_data(normwise: Command) -> None:
    normwise("train", "image", "--model", "dense_bn", "--epochs", "20", "--threads", "1", "--out", "run")
    examination = _examination(normwise("doctor", "run", "--json", "--select", "BN201"))
    assert examination.findings == ()
    assert examination.batches > 0
    assert examination.running.accuracy > 0.5


@pytest.mark.parametrize("name", ["state.pt", "state.pth", "state.ckpt", "state.safetensors"])
def test_a_bare_checkpoint_is_examined_by_its_numbers(normwise: Command, name: str) -> None:
    state = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.BatchNorm1d(8)).state_dict()
    state["1.running_var"][3] = float("nan")
    save_file(state, name) if name.endswith("safetensors") else torch.save(state, name)
    done = normwise("doctor", name, "--json")
    assert done.err == ""
    assert [layer.path for layer in _examination(done).layers] == ["1"]
    needed = {rule.code for rule in all_rules() if rule.needs == ("numbers",)}
    assert set(_examination(done).checked) == needed


def test_a_checkpoint_of_lightning_fits_its_network(normwise: Command, folder: Path) -> None:
    stale = named_object("train.py:stale")()
    state = {f"model.{key}": value for key, value in stale.state_dict().items()}
    torch.save({"state_dict": state, "epoch": 3, "global_step": 10}, "last.ckpt")
    done = normwise("doctor", "last.ckpt", "--model", "train.py:healthy", *_DATA, "--json")
    assert done.err == "note: besides the weights, last.ckpt has epoch, global_step, which are left out\n"
    assert _codes(done)[0] == "BN201"
    assert [layer.path for layer in _examination(normwise("doctor", "last.ckpt", "--json")).layers] == [
        "model.1"
    ]


@pytest.mark.parametrize("network", [("--model", "train.py:healthy", *_DATA), ()], ids=["network", "numbers"])
def test_weights_are_chosen_of_a_checkpoint_that_has_several(
    normwise: Command, folder: Path, network: tuple[str, ...]
) -> None:
    state = named_object("train.py:healthy")().state_dict()
    broken = state | {"1.running_var": torch.full_like(state["1.running_var"], float("nan"))}
    torch.save({"model": state, "model_ema": broken}, "both.pt")
    first = normwise("doctor", "both.pt", *network, "--json")
    assert first.code == 0, first.out
    assert first.err == (
        "note: besides the weights, both.pt has model_ema, which are left out; --weights model_ema takes these\n"
    )
    assert "BN203" in _codes(normwise("doctor", "both.pt", *network, "--weights", "model_ema", "--json"))


def test_an_onnx_file_is_examined_by_its_nodes(normwise: Command, folder: Path) -> None:
    (rule,) = (rule for rule in all_rules() if rule.code == "BN704")
    (folder / "net.onnx").write_bytes(rule.sick().content)  # pyright: ignore[reportAttributeAccessIssue]
    done = normwise("doctor", "net.onnx")
    assert done.code == 1
    assert "error BN704 onnx-in-training-mode in bn (BatchNormalization)" in done.out
    (folder / "net.onnx").write_bytes(rule.healthy().content)  # pyright: ignore[reportAttributeAccessIssue]
    assert normwise("doctor", "net.onnx").code == 0


def test_a_page_is_written_beside_the_text(normwise: Command, folder: Path) -> None:
    done = normwise(*_STALE, "--html", "page.html")
    assert done.code == 1
    assert "BN201" in done.out
    assert "BN201" in (folder / "page.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(("name", "part"), [("BN201", "stale-statistics"), ("stale-statistics", "BN201")])
def test_a_rule_is_explained_by_code_or_name(normwise: Command, name: str, part: str) -> None:
    done = normwise("explain", name)
    assert done.code == 0
    for expected in (part, "Why it hurts", "How it is measured", "A sick model", "arxiv.org/abs/1502.03167"):
        assert expected in done.out


def test_the_rules_of_a_family_are_listed(normwise: Command) -> None:
    assert normwise("explain", "BN2").out.startswith("BN201 stale-statistics: Running means")


def test_the_help_has_an_example_and_the_exit_codes(normwise: Command) -> None:
    done = normwise("doctor", "--help")
    assert done.code == 0
    assert "Example" in done.out
    assert "Exit code" in done.out

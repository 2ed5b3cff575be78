"""A run as TARGET: its network, its weights and its data."""

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from normwise.cli.inputs.cli_target import load_target
from normwise.cli.inputs.target_data import load_batches
from normwise.data import load_data
from normwise.errors import ArgumentError, RunError
from normwise.records import RunConfig
from normwise.training import train


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

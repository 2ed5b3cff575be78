"""Training runs, and the files that they leave."""

import json
import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch.nn import functional as F

from normwise.data import BatchOrder, digits
from normwise.errors import ArgumentError, DataError, ModelError, RunError, ShapeError
from normwise.models import build
from normwise.records import Point, RunConfig
from normwise.training import RunFolder, train

Make = Callable[..., RunConfig]


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_loss_falls(config: Make, tmp_path: Path, optimizer: str, dtype: str) -> None:
    lr = {"sgd": 0.1, "adam": 0.003}[optimizer]
    run = train(config(steps=60, eval_every=30, optimizer=optimizer, dtype=dtype, lr=lr), tmp_path / "run")
    assert run.points[-1].loss < 0.5 * run.points[0].test_loss
    assert run.points[-1].test_accuracy > 0.8


def test_it_evaluates_at_the_start_every_so_many_steps_and_at_the_end(config: Make, tmp_path: Path) -> None:
    run = train(config(steps=12, eval_every=5), tmp_path / "run")
    assert [point.step for point in run.points] == [0, 5, 10, 12]
    assert math.isnan(run.points[0].loss)


def test_the_loss_of_a_point_is_the_mean_over_the_steps_since_the_last(config: Make, tmp_path: Path) -> None:
    told: list[float] = []
    run = train(
        config(steps=10, eval_every=5), tmp_path / "run", on_step=lambda step, loss, point: told.append(loss)
    )
    assert run.points[1].loss == pytest.approx(sum(told[:5]) / 5, rel=1e-12)
    assert run.points[2].loss == pytest.approx(sum(told[5:]) / 5, rel=1e-12)


def test_the_result_has_the_accuracy_with_running_and_with_batch_statistics(
    config: Make, tmp_path: Path
) -> None:
    run = train(config(), tmp_path / "run")
    assert run.result is not None
    assert run.result.test_accuracy == run.points[-1].test_accuracy
    assert run.result.batch_statistics_accuracy is not None
    assert 0 <= run.result.batch_statistics_accuracy <= 1


def test_without_bn_there_is_no_accuracy_with_batch_statistics(config: Make, tmp_path: Path) -> None:
    run = train(config(norm="layer"), tmp_path / "run")
    assert run.result is not None
    assert run.result.batch_statistics_accuracy is None


def test_a_test_batch_of_one_sample_has_no_statistics_and_is_no_error(config: Make, tmp_path: Path) -> None:
    run = train(config(test_samples=1), tmp_path / "run")
    assert run.result is not None
    assert run.result.batch_statistics_accuracy is None


def test_divergence_is_a_result(config: Make, tmp_path: Path) -> None:
    run = train(config(norm="none", lr=1e30, steps=50), tmp_path / "run")
    assert run.result is not None
    assert run.result.diverged
    assert run.result.steps < 50
    assert run.result.test_accuracy == 0  # outputs that are not numbers are not right
    lines = (tmp_path / "run/metrics.jsonl").read_text().splitlines()
    assert json.loads(lines[-1])["loss"] is None


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_divergence_in_the_last_step_is_divergence(config: Make, tmp_path: Path, optimizer: str) -> None:
    wanted = config(norm="none", lr=1e30, steps=1, eval_every=1, optimizer=optimizer)
    run = train(wanted, tmp_path / "run")
    assert run.result is not None
    assert run.result.diverged
    assert run.result.steps == 1
    assert math.isfinite(run.points[-1].loss)  # of before the step


@pytest.mark.parametrize("norm", ["batch", "none", "layer"])
def test_plain_sgd_is_that_of_torch(config: Make, tmp_path: Path, norm: str) -> None:
    train(config(norm=norm), tmp_path / "run")
    ours = load_file(tmp_path / "run/checkpoint.safetensors")
    data, order = digits().subset(200), BatchOrder(200, 50, seed=0)
    model = build("dense_bn", data.shape, 10, norm=norm)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for step in range(12):
        batch = order(step)
        optimizer.zero_grad()
        F.cross_entropy(model(data.train_images[batch]), data.train_labels[batch]).backward()
        optimizer.step()
    theirs = {f"model.{name}": tensor for name, tensor in model.state_dict().items()}
    assert ours.keys() == theirs.keys()
    # Bits, and the running statistics and the counter of batches with them: looking ahead leaves no trace.
    assert all(torch.equal(ours[name], tensor) for name, tensor in theirs.items())


def test_the_threads_and_the_data_are_recorded(config: Make, tmp_path: Path) -> None:
    run = train(config(), tmp_path / "run", threads=2)
    assert (run.threads, run.data_sha256) == (2, digits().sha256)
    assert torch.get_num_threads() == 1  # as before


def test_the_global_random_state_is_left_alone(config: Make, tmp_path: Path) -> None:
    before = torch.random.get_rng_state()
    train(config(), tmp_path / "run")
    assert torch.equal(torch.random.get_rng_state(), before)


def test_progress_is_told_at_every_step(config: Make, tmp_path: Path) -> None:
    told: list[tuple[int, Point | None]] = []
    train(
        config(steps=12, eval_every=5),
        tmp_path / "run",
        on_step=lambda step, loss, point: told.append((step, point)),
    )
    assert [step for step, _ in told] == list(range(1, 13))
    assert [step for step, point in told if point is not None] == [5, 10, 12]


def test_a_finished_run_is_returned_and_not_repeated(config: Make, tmp_path: Path) -> None:
    first = train(config(), tmp_path / "run")
    times = {path: path.stat().st_mtime_ns for path in (tmp_path / "run").iterdir() if path.name != ".lock"}
    again = train(config(), tmp_path / "run", resume=True)
    assert again.result == first.result
    assert {path: path.stat().st_mtime_ns for path in times} == times


def test_a_folder_with_a_run_needs_resume(config: Make, tmp_path: Path) -> None:
    train(config(), tmp_path / "run")
    with pytest.raises(RunError, match="already holds a run; resume it by --resume"):
        train(config(), tmp_path / "run")


def test_a_run_of_another_configuration_is_not_touched(config: Make, tmp_path: Path) -> None:
    train(config(), tmp_path / "run")
    with pytest.raises(RunError, match=r"another configuration: lr is 0\.1, not 0\.2"):
        train(config(lr=0.2), tmp_path / "run", resume=True)


def test_a_folder_with_other_things_is_not_touched(config: Make, tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("precious")
    with pytest.raises(RunError, match="not empty and holds no run"):
        train(config(), tmp_path)


def test_a_file_in_place_of_the_folder_is_said(config: Make, tmp_path: Path) -> None:
    (tmp_path / "run").write_text("a file")
    with pytest.raises(RunError, match="can't be made a folder: File exists; choose another place"):
        train(config(), tmp_path / "run")


def test_two_processes_do_not_work_in_one_folder(config: Make, tmp_path: Path) -> None:
    with (
        RunFolder(tmp_path / "run").locked(wait=False),
        pytest.raises(RunError, match="another process is at work"),
    ):
        train(config(), tmp_path / "run")


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"steps": 0}, ArgumentError, "steps must be at least 1, got 0"),
        ({"batch_size": 0}, ArgumentError, "batch_size must be at least 1, got 0"),
        ({"batch_size": 201}, ArgumentError, "201"),
        ({"lr": -1.0}, ArgumentError, "lr must be a positive number, got -1.0"),
        ({"lr": math.nan}, ArgumentError, "lr must be a positive number, got nan"),
        ({"optimizer": "lion"}, ArgumentError, "unknown optimizer 'lion'; known are sgd, adam"),
        ({"measures": ("mood",)}, ArgumentError, "unknown measure 'mood'; known are input_percentiles"),
        ({"model": "vgg"}, ModelError, "unknown model 'vgg'"),
        ({"options": {"width": 1}}, ModelError, "dense_bn has no option 'width'"),
        ({"options": {"name": "x"}}, ModelError, "dense_bn has no option 'name'"),
        (
            {"options": {"seed": 1}},
            ArgumentError,
            "seed is a field of the configuration, not an option",
        ),
        ({"options": {"norm": "none"}}, ArgumentError, "norm is a field of the configuration, not an option"),
        ({"batch_size": 1}, ShapeError, "expected more than 1 value per channel"),
        ({"data": "imagenet"}, DataError, "imagenet"),
    ],
)
def test_what_cannot_be_carried_out_is_said_and_leaves_no_folder(
    config: Make, tmp_path: Path, changes: dict[str, object], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        train(config(**changes), tmp_path / "run")
    assert not (tmp_path / "run").exists()

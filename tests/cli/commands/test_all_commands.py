"""The command line as a user meets it: what it prints, where, and its exit code."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from PIL import Image

from normwise import kernels
from normwise.records import Run, Study, from_plain
from normwise.studies import all_claims, claims_named
from normwise.studies.claim import COMMON_RULE


def _normwise(*arguments: str | Path, cwd: Path) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "normwise", *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)


_SHORT = ("train", "image", "--model", "dense_bn", "--epochs", "2", "--threads", "1")


def test_training_says_both_accuracies_and_where_the_run_is(tmp_path: Path) -> None:
    done = _normwise(*_SHORT, cwd=tmp_path)
    assert done.returncode == 0
    assert [line.split(",")[0] for line in done.stderr.splitlines()] == ["epoch 1/2", "epoch 2/2"]
    first, second, third, *_ = done.stdout.splitlines()
    assert first.startswith("test accuracy, running statistics")
    assert second.startswith("test accuracy, batch statistics")
    assert third.split() == ["run", "runs/dense_bn-digits-batch-epochs2-seed0"]
    assert (tmp_path / "runs/dense_bn-digits-batch-epochs2-seed0/run.json").exists()


def test_a_second_run_into_the_same_folder_is_refused_and_resumed_on_request(tmp_path: Path) -> None:
    first = _normwise(*_SHORT, "--out", "run", cwd=tmp_path)
    refused = _normwise(*_SHORT, "--out", "run", cwd=tmp_path)
    assert refused.returncode == 2
    assert refused.stderr.startswith("error: run already holds a run; resume it by --resume")
    assert _normwise(*_SHORT, "--out", "run", "--resume", cwd=tmp_path).stdout == first.stdout


def test_another_number_of_threads_is_refused(tmp_path: Path) -> None:
    _normwise(*_SHORT, "--out", "run", cwd=tmp_path)
    refused = _normwise(*_SHORT, "--out", "run", "--resume", "--threads", "2", cwd=tmp_path)
    assert refused.returncode == 2
    assert refused.stderr.startswith(
        "error: the run in run was started with --threads 1; with 2 its last digits"
    )


def test_a_run_that_cannot_take_a_step_is_not_in_the_way(tmp_path: Path) -> None:
    for _ in range(2):
        refused = _normwise(*_SHORT, "--batch-size", "1", "--out", "run", cwd=tmp_path)
        assert refused.returncode == 2
        assert "expected more than 1 value per channel" in refused.stderr
    assert _normwise(*_SHORT, "--out", "run", cwd=tmp_path).returncode == 0


def test_the_folder_of_the_data_gives_its_name(tmp_path: Path) -> None:
    for part, label, i in [(p, c, i) for p in ("train", "test") for c in "ab" for i in range(4)]:
        file = tmp_path / "shapes" / part / label / f"{i}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (4, 4), i).save(file)
    done = _normwise(*_SHORT, "--data", ".", "--batch-size", "4", cwd=tmp_path / "shapes")
    assert "runs/dense_bn-shapes-batch-epochs2-batch4-seed0" in done.stdout


def test_an_interrupted_run_says_how_to_go_on(tmp_path: Path) -> None:
    # SIGINT once the run has begun: what Ctrl-C sends.
    command = [sys.executable, "-m", "normwise", *_SHORT, "--epochs", "500", "--out", "run"]
    process = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True)
    while not (tmp_path / "run/run.json").exists():
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    # The first epoch may have ended before.
    assert "\nInterrupted. Finished work is kept" in f"\n{errors}"
    assert (tmp_path / "run/run.json").exists()


def test_an_interruption_while_a_string_is_executed_has_the_same_exit_code(tmp_path: Path) -> None:
    # Dataclasses execute strings, and so does the import of half of torch.
    (tmp_path / "interrupted.py").write_text(
        "import sys, normwise.cli, normwise.studies\n"
        "normwise.studies.claims_named = lambda names: exec('raise KeyboardInterrupt')\n"
        "sys.argv = ['normwise', 'explain', 'fewer_steps']\n"
        "normwise.cli.main()\n"
    )
    command = [sys.executable, "-m", "interrupted"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 130
    assert done.stderr.startswith("Interrupted. Finished work is kept")


def test_divergence_is_said_and_is_no_error(tmp_path: Path) -> None:
    done = _normwise(*_SHORT, "--norm", "none", "--optimizer", "sgd", "--lr", "1e30", cwd=tmp_path)
    assert done.returncode == 0
    assert done.stdout.startswith("diverged")
    assert "lower --lr" in done.stdout


def test_a_networks_own_options_and_placement_are_passed_on(tmp_path: Path) -> None:
    done = _normwise(*_SHORT, "--placement", "after", "-O", "bias=false", "--out", "run", cwd=tmp_path)
    assert done.returncode == 0
    config = json.loads((tmp_path / "run/run.json").read_text())["config"]
    assert config["options"] == {"bias": False, "placement": "after"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("train", "image", "--model", "vgg"), "error: unknown model 'vgg' for image; known are ioffe_mlp"),
        (
            ("train", "text", "--model", "vgg", "--data", "nowhere"),
            "error: unknown model 'vgg' for text; known are",
        ),
        (("train", "image", "--data", "nowhere"), "nowhere"),
        (
            ("train", "image", "-O", "depth"),
            "error: --option takes NAME=VALUE, such as depth=20; got 'depth'",
        ),
        (("train", "image", "--norm", "power"), "error: unknown norm 'power'; known are batch"),
        (
            ("train", "image", "-O", "name=x"),
            "error: mnist_cnn has no option 'name'; it has placement, init_scale",
        ),
        (
            ("train", "image", "-O", "init_scale=abc"),
            "error: mnist_cnn: the option 'init_scale' takes a value like",
        ),
        (
            ("train", "image", "-O", "init_scale=nan"),
            "'init_scale' takes a number from 0 to 1,000,000,000; got nan",
        ),
        (
            ("train", "image", "--batch-size", "5000"),
            "error: --batch-size 5000 is more than the 1297 training",
        ),
        (("study", "taller"), "error: unknown claim 'taller'; known are fewer_steps"),
        (("study", "--preset", "huge"), "'huge'"),
        (
            ("study", "fewer_steps", "--preset", "gpu"),
            "error: --preset gpu does not have the claim 'fewer_steps'; it has trainable_depth, placement",
        ),
        (("study", "--backend", "spark"), "'spark'"),
        (
            ("study", "--backend", "dask"),
            "error: the backend dask needs the address of a cluster, such as tcp://HOST",
        ),
        (("study", "--address", "host:1"), "error: --address is for a cluster; name its kind by --backend"),
        (
            ("study", "--backend", "ray", "--address", "host:1", "--jobs", "2"),
            "error: --jobs is the number of processes",
        ),
        (("explain", "taller"), "error: unknown claim 'taller'; known are fewer_steps"),
        (("report", "."), "error: . holds no run: it has no run.json"),
        (("dance",), "dance"),
    ],
)
def test_wrong_use_is_one_error_and_exit_code_2(
    tmp_path: Path, arguments: tuple[str, ...], message: str
) -> None:
    done = _normwise(*arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A folder with a study of one claim, and what it printed as JSON."""
    folder = tmp_path_factory.mktemp("study")
    done = _normwise("study", "batch_independence", "--jobs", "1", "--out", "out", "--json", cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder / "out", done.stdout


def test_a_study_gives_its_records_as_json(study: tuple[Path, str]) -> None:
    record = from_plain(Study, json.loads(study[1]))
    assert [finding.verdict for finding in record.findings] == ["supported"]


def test_a_study_gives_a_table_and_a_page(study: tuple[Path, str]) -> None:
    done = _normwise("study", "batch_independence", "--out", study[0], cwd=study[0])
    assert "batch_independence" in done.stdout
    assert done.stdout.splitlines()[-1] == f"report: {study[0] / 'report.html'}"
    assert (study[0] / "report.html").read_text().startswith("<!doctype html>")


@pytest.mark.parametrize(
    ("format", "beginning"),
    [("text", "Batch norm"), ("markdown", "# "), ("html", "<!doctype html>"), ("json", "{")],
)
def test_a_saved_study_is_shown_in_each_format(study: tuple[Path, str], format: str, beginning: str) -> None:
    done = _normwise("report", study[0], "--format", format, cwd=study[0])
    assert done.returncode == 0
    assert done.stdout.lower().startswith(beginning.lower())


def test_a_report_is_written_to_a_file(study: tuple[Path, str], tmp_path: Path) -> None:
    done = _normwise("report", study[0], "--format", "markdown", "--output", "evidence.md", cwd=tmp_path)
    assert done.stdout == ""
    assert "batch_independence" in (tmp_path / "evidence.md").read_text()


@pytest.mark.parametrize("format", ["text", "json", "html"])
def test_a_saved_run_is_shown(study: tuple[Path, str], format: str) -> None:
    run = next((study[0] / "runs").iterdir())
    done = _normwise("report", run, "--format", format, cwd=run)
    assert done.returncode == 0
    if format == "json":
        assert from_plain(Run, json.loads(done.stdout)).result is not None


def test_a_claim_is_explained(tmp_path: Path) -> None:
    (claim,) = claims_named(("small_batches",))
    said = " ".join(_normwise("explain", "small_batches", cwd=tmp_path).stdout.split())
    for part in (
        claim.statement.en,
        claim.statement.zh,
        *(f"Tutorial {saying.tutorial}, {saying.section}" for saying in claim.says),
        f"Would be false if {claim.falsifier}",
        f"Verdict {claim.rule} {COMMON_RULE} The rule is of 2026-11-27.",
        *("Quick protocol", "Full protocol"),
        *(source.url for source in claim.sources),
    ):
        assert " ".join(part.split()) in said


def test_a_claim_that_no_tutorial_makes_is_ours(tmp_path: Path) -> None:
    ours = next(claim for claim in all_claims() if not claim.says)
    assert (
        "Who says so\nNo tutorial: the claim is ours." in _normwise("explain", ours.name, cwd=tmp_path).stdout
    )


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("train",),
        ("train", "image"),
        ("train", "speech"),
        ("train", "text"),
        ("predict",),
        ("study",),
        ("report",),
        ("explain",),
        ("doctor",),
    ],
    ids=" ".join,
)
def test_every_command_has_help(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    done = _normwise(*arguments, "--help", cwd=tmp_path)
    assert done.returncode == 0
    assert "Example" in done.stdout or arguments in [(), ("train",)]


def test_help_shows_asterisks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    assert (
        "train/CLASS/*.png and test/CLASS/*.png" in _normwise("train", "image", "--help", cwd=tmp_path).stdout
    )


def test_the_version_imports_no_triton(tmp_path: Path) -> None:
    code = (
        "import sys; from normwise.cli.app import run_command_line; code = run_command_line(['--version']); "
        "sys.exit(code or 10 * ('triton' in sys.modules))"
    )
    environment = os.environ | {"CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment, check=False)
    assert done.returncode == 0


def test_a_benchmark_of_a_gpu_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "normwise", "bench", "--device", "cuda"]
    environment = os.environ | {"CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: --device is 'cuda', and torch ")
    assert done.stderr.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_the_version_says_which_kernels_are_in_use(tmp_path: Path) -> None:
    done = _normwise("--version", cwd=tmp_path)
    assert "torch 2" in done.stdout
    assert done.stdout.rstrip().endswith(f"kernels: {kernels.in_use()}")

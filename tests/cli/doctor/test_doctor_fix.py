"""``normwise doctor --fix``: weights are written where the gain is proven, and nowhere else."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from normwise.cli.unsaved_changes import unsaved_changes
from normwise.records import Treatment, from_plain

Command = Callable[..., Any]
_FIX = ("--data", "train.py:loader", "--fix", "out.pt", "--select", "BN2")


def test_a_proven_fix_is_written_and_shown(normwise: Command, folder: Path) -> None:
    done = normwise("doctor", "train.py:stale", *_FIX)
    assert (done.code, done.err) == (0, "")
    assert "BN201 stale-statistics: statistics of 1 of 1 layers replaced by exact ones" in done.out
    assert "\nProven: " in done.out
    assert done.out.endswith("written: out.pt\n")
    again = normwise("doctor", "out.pt", "--model", "train.py:stale", *_FIX[:2], "--select", "BN2")
    assert again.code == 0
    assert torch.load("out.pt", weights_only=True)["1.running_var"].mean() > 2


def test_json_is_the_treatment(normwise: Command) -> None:
    treatment = from_plain(Treatment, json.loads(normwise("doctor", "train.py:stale", *_FIX, "--json").out))
    assert treatment.proven
    assert [remedy.applied for remedy in treatment.remedies] == [True]


def test_quiet_says_what_is_left(normwise: Command) -> None:
    done = normwise("doctor", "train.py:stale", *_FIX, "--quiet")
    assert (done.code, done.out, done.err) == (0, "", "")


def test_what_has_no_safe_fix_is_not_written_and_exit_code_1(normwise: Command, folder: Path) -> None:
    (folder / "pyproject.toml").write_text('[tool.normwise.severity]\nBN101 = "error"\n')
    (folder / "bias.py").write_text(
        "import torch\nfrom torch import nn\n"
        "model = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8, momentum=None), nn.Linear(8, 3))\n"
        "import train\nfor x, _ in train.loader():\n    model(x)\nmodel.eval()\n"
    )
    done = normwise("doctor", "bias.py:model", *_FIX[:4], "--select", "BN101")
    assert done.code == 1
    assert "Not proven, so nothing was changed" in done.out
    assert done.out.endswith("out.pt was not written\n")
    assert not (folder / "out.pt").exists()


def test_an_unsafe_finding_that_stays_is_exit_code_1_though_the_others_are_healed(
    normwise: Command, folder: Path
) -> None:
    (folder / "pyproject.toml").write_text('[tool.normwise.severity]\nBN101 = "warning"\n')
    (folder / "both.py").write_text(
        "import torch\nfrom torch import nn\ntorch.manual_seed(0)\n"
        "model = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8, momentum=0.001), nn.Linear(8, 3))\n"
        "import train\nmodel(next(train.loader())[0])\nmodel.eval()\n"
    )
    done = normwise("doctor", "both.py:model", *_FIX[:4], "--select", "BN101,BN201")
    assert done.code == 1
    assert done.out.endswith("written: out.pt\n")


def test_a_healthy_network_has_nothing_to_fix(normwise: Command, folder: Path) -> None:
    done = normwise("doctor", "train.py:healthy", *_FIX)
    assert done.code == 0
    assert done.out.endswith("There is nothing to fix.\nout.pt was not written\n")
    assert not (folder / "out.pt").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("train.py:stale", "--fix", "out.txt"), "error: can't write out.txt: expected a name that ends in"),
        (("train.py:stale", "--fix", "no/out.pt"), "error: can't write no/out.pt: there is no folder no"),
        (("train.py:stale", "--fix", "there.pt"), "error: there.pt exists already"),
        (("there.pt", "--fix", "out.pt"), "error: --fix needs the network of there.pt; name it by --model"),
        (("train.py:stale", "--fix", "out.pt", "--format", "sarif"), "error: --fix prints text or json"),
    ],
)
def test_what_can_not_be_written_is_refused_first(
    normwise: Command, arguments: tuple[str, ...], message: str
) -> None:
    torch.save(nn.BatchNorm1d(2).state_dict(), "there.pt")
    done = normwise("doctor", *arguments)
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith(message)


def test_a_file_is_replaced_by_force(normwise: Command, folder: Path) -> None:
    (folder / "out.pt").write_bytes(b"old")
    assert normwise("doctor", "train.py:stale", *_FIX, "--force").code == 0
    assert "1.running_var" in torch.load("out.pt", weights_only=True)


def test_changes_that_a_file_of_weights_lacks_are_said() -> None:
    old = nn.Sequential(nn.BatchNorm1d(2, momentum=0.99), nn.BatchNorm1d(2, track_running_stats=False))
    new = nn.Sequential(nn.BatchNorm1d(2, momentum=0.01), nn.BatchNorm1d(2))
    new[0].eval()
    said = unsaved_changes(old, new)
    assert said[0] == "a file of weights can't hold momentum=0.01 of 0: change that in your script, too"
    assert "can't hold training=False of 0" in said[1]
    assert "track_running_stats=True of 1" in said[2]
    assert said[3].startswith(
        "it has 1.running_mean, 1.running_var, 1.num_batches_tracked, which the network"
    )
    assert unsaved_changes(old, old) == []


def test_the_page_of_a_fix_has_before_and_after(normwise: Command, folder: Path) -> None:
    done = normwise("doctor", "train.py:stale", *_FIX, "--html", "page.html")
    assert done.code == 0
    page = (folder / "page.html").read_text(encoding="utf-8")
    assert "BN201" in page
    assert "statistics of 1 of 1 layers replaced by exact ones" in page

"""Help, lists of names, shell completion, and the answer to a name that there is none of."""

import re

import pytest

from normwise.cli.inputs.training.choices import NETWORKS, NORMS
from normwise.data.registry import NAMED_DATA
from normwise.models import NORMS as IMAGE_NORMS
from normwise.models import SEQUENCE_NORMS, TASKS
from tests.cli.conftest import Command

#: Those that only the study trains.
_OF_THE_STUDY = {"plain_mlp", "batch_and_bias", "noisy_batch"}


def test_short_options_are_the_long_ones(normwise: Command) -> None:
    assert normwise("-h").out == normwise("--help").out
    assert normwise("fold", "-h").out == normwise("fold", "--help").out
    assert normwise("-V").out == normwise("--version").out


def test_the_help_begins_with_the_main_jobs(normwise: Command) -> None:
    commands = re.findall(r"^│ ([a-z]+) ", normwise("--help").out, re.MULTILINE)
    assert commands[:2] == ["doctor", "calibrate"]
    assert commands.index("train") < commands.index("predict") < commands.index("report")
    assert commands[-1] == "bench"


def test_all_names_of_a_training_are_listed_with_a_word_on_each(normwise: Command) -> None:
    listed = normwise("train", "--list").out
    for name in (
        *(name for names in NETWORKS.values() for name in names),
        *(known.name for known in NAMED_DATA),
        *(name for norms in NORMS.values() for name in norms),
    ):
        assert re.search(rf"^ +{name} +\S", listed, re.MULTILINE), name


def test_what_is_listed_is_what_there_is() -> None:
    for task, names in NETWORKS.items():
        assert set(names) == set(TASKS[task]) - _OF_THE_STUDY
    assert set(NORMS["image"]) == (set(IMAGE_NORMS) - _OF_THE_STUDY) | {"recurrent_batch"}
    assert set(NORMS["speech"]) == set(NORMS["text"]) == set(SEQUENCE_NORMS)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("dance",), "error: unknown command 'dance'; known are doctor, calibrate, "),
        (("trian",), "did you mean train? See normwise --help"),
        (
            ("accelerate", "x"),
            "error: accelerate is not a command but a function in Python: normwise.accelerate.",
        ),
        (
            ("train", "vision"),
            "error: unknown command 'vision'; known are image, speech, text. See normwise train --help",
        ),
    ],
)
def test_an_unknown_name_is_answered_with_those_there_are(
    normwise: Command, arguments: tuple[str, ...], message: str
) -> None:
    done = normwise(*arguments)
    assert (done.code, done.out) == (2, "")
    assert message in done.err


@pytest.mark.parametrize(
    ("typed", "completed"),
    [
        ("cal", ["calibrate"]),
        ("train sp", ["speech"]),
        ("train image --model cnn", ["cnn_32", "cnn_64"]),
        ("train speech --data to", ["tones"]),
        ("train image --norm gr", ["group"]),
    ],
)
def test_a_shell_completes_names(
    normwise: Command, monkeypatch: pytest.MonkeyPatch, typed: str, completed: list[str]
) -> None:
    monkeypatch.setenv("_NORMWISE_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", f"normwise {typed}")
    monkeypatch.setenv("COMP_CWORD", str(len(typed.split())))
    assert normwise().out.split() == completed

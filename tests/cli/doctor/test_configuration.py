"""The table ``[tool.normwise]``: what it may say, and that options win over it."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from normwise.cli.inputs.configuration import Configuration, chosen_rules, read_configuration
from normwise.doctor import all_rules

Command = Callable[..., Any]
_ALL = {rule.code for rule in all_rules()}


def _read(folder: Path, text: str) -> Configuration:
    (folder / "pyproject.toml").write_text(text, encoding="utf-8")
    return read_configuration(folder)


def _codes(
    configuration: Configuration, select: tuple[str, ...] = (), ignore: tuple[str, ...] = ()
) -> set[str]:
    return {rule.code for rule in chosen_rules(configuration, select, ignore)}


def test_the_example_of_the_documentation_is_read(folder: Path) -> None:
    page = (Path(__file__).parents[3] / "docs/doctor/command-line.md").read_text(encoding="utf-8")
    read = _read(folder, page.split("```toml\n")[1].split("```")[0])
    assert read.select == ("BN2", "BN3", "BN4")
    assert read.off == {"BN101"}
    assert (read.severities["BN201"], read.severities["BN202"]) == ("warning", "error")


def test_without_a_file_all_rules_are_applied(folder: Path) -> None:
    assert _codes(Configuration()) == _ALL


def test_the_file_selects_ignores_and_turns_off(folder: Path) -> None:
    assert _codes(_read(folder, '[tool.normwise]\nselect = ["BN201", "redundant-bias"]')) == {
        "BN101",
        "BN201",
    }
    assert _codes(_read(folder, '[tool.normwise]\nignore = ["BN201"]')) == _ALL - {"BN201"}
    assert _codes(_read(folder, '[tool.normwise.severity]\nBN201 = "off"')) == _ALL - {"BN201"}


def test_the_severity_of_one_rule_holds_against_that_of_its_family(folder: Path) -> None:
    read = _read(folder, '[tool.normwise.severity]\nBN201 = "info"\nBN2 = "warning"\nBN101 = "error"')
    assert read.severities["BN201"] == "info"
    assert read.severities["BN101"] == "error"
    assert {read.severities[code] for code in read.severities if code not in ("BN101", "BN201")} <= {
        "warning"
    }


def test_options_win_over_the_file(folder: Path) -> None:
    read = _read(
        folder,
        '[tool.normwise]\nselect = ["BN1"]\nignore = ["BN201"]\n[tool.normwise.severity]\nBN704 = "off"',
    )
    assert _codes(read, select=("BN201",)) == {"BN201"}
    assert _codes(read, select=("BN704",)) == {"BN704"}
    assert "BN201" in _codes(Configuration(ignore=("BN201",)), ignore=("BN101",))


def test_the_nearest_file_with_the_table_counts(folder: Path) -> None:
    inner = folder / "inner" / "most"
    inner.mkdir(parents=True)
    (folder / "pyproject.toml").write_text('[tool.normwise]\nignore = ["BN201"]')
    (folder / "inner" / "pyproject.toml").write_text("[project]\nname = 'inner'")
    assert read_configuration(inner).ignore == ("BN201",)
    (inner / "pyproject.toml").write_text('[tool.normwise]\nignore = ["BN101"]')
    assert read_configuration(inner).ignore == ("BN101",)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[tool.normwise", "pyproject.toml is not valid TOML"),
        ("[tool.normwise]\nselct = []", "unknown key 'selct'; expected select, ignore, severity"),
        ("[tool.normwise]\nselect = 'BN2'", "select is 'BN2'; expected a list of codes"),
        ("[tool.normwise]\nignore = [2]", "ignore is [2]; expected a list of codes"),
        ("[tool.normwise]\nignore = ['BN9']", "ignore: there is no rule 'BN9'"),
        ("[tool.normwise]\nseverity = 'error'", "severity is 'error'; expected a table"),
        (
            "[tool.normwise.severity]\nBN201 = 'bad'",
            "the severity of BN201 is 'bad'; expected one of error, warning",
        ),
        ("[tool.normwise.severity]\nBN201 = ['info']", "the severity of BN201 is ['info']; expected one of"),
        ("[tool.normwise.severity]\nBN9 = 'info'", "severity: there is no rule 'BN9'"),
        ("tool.normwise = 3", "tool.normwise is of type int; expected a table"),
    ],
)
def test_a_wrong_file_is_one_error(normwise: Command, folder: Path, text: str, message: str) -> None:
    (folder / "pyproject.toml").write_text(text)
    done = normwise("doctor", "train.py:held")
    assert (done.code, done.out) == (2, "")
    assert message in done.err
    assert len(done.err.splitlines()) == 1


def test_the_severity_of_the_file_decides_the_exit_code(normwise: Command, folder: Path) -> None:
    command = ("doctor", "train.py:stale", "--data", "train.py:loader", "--json", "--select", "BN201")
    assert normwise(*command).code == 1
    (folder / "pyproject.toml").write_text('[tool.normwise.severity]\nBN201 = "info"')
    done = normwise(*command)
    assert done.code == 0
    assert [finding["severity"] for finding in json.loads(done.out)["findings"]] == ["info"]

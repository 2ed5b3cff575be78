"""All fixed texts of the pages have a Chinese one, and all Chinese ones an English text that is still in the code."""

import ast
import dataclasses
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from normwise.doctor import Rule, all_rules, examine
from normwise.records import Run
from normwise.report import (
    benchmark_page,
    examination_page,
    recording_page,
    run_page,
    runs_page,
    treatment_page,
)
from normwise.report.chinese.page_chinese import WORDS, page_chinese
from tests.support.reports import shown_benchmark, shown_examination, shown_runs
from tests.support.reports.html_reader import Reader

_SOURCE = Path(__file__).parents[3] / "src/normwise"
_TEMPLATES = _SOURCE / "report/templates"
_PAGES = {
    "sick": lambda: examination_page(shown_examination.sick()),
    "healthy": lambda: examination_page(shown_examination.healthy()),
    "model": lambda: examination_page(shown_examination.of_model()),
    "treatment": lambda: treatment_page(shown_examination.treatment()),
    "recording": lambda: recording_page(shown_runs.recording()),
    "recording in Keras": lambda: recording_page(
        dataclasses.replace(shown_runs.recording(), framework="keras")
    ),
    "run": lambda: run_page(shown_runs.run()),
    "runs": lambda: runs_page(_runs()),
    "runs that have begun": lambda: runs_page({"a": _begun(), "b": _begun()}),
    "benchmark": lambda: benchmark_page(shown_benchmark.benchmark()),
    "GPU": lambda: benchmark_page(shown_benchmark.on_gpu()),
}
#: Names and values of the records, and the names of the languages.
_NAMES = re.compile(
    r"English|Language|torch|ours?|numpy|normwise|Python|batch|image|mlp|mnist|sgd|float32|Linux x86_64|nan|cpu: AVX2"
    r"|statistics of 4 of 4 layers replaced|Some GPU|inf σ|net|unused|bare|[\d×]+ NCHW"
    r"|.*\b(norm|stem|called|BatchNorm\w*|SyncBatchNorm)\b.*"
    r"|.*no <b>bold</b>.*|([0-9a-f]{8,})|\d{4}-\d\d-\d\d.*|[\d.]+ (min|s|h)|(BN\d+(, )?)+"
)
_WORD = re.compile(r"[A-Za-z]{3,}")


def _begun() -> Run:
    return dataclasses.replace(shown_runs.run(), points=(), result=None)


def _runs() -> dict[str, Run]:
    """Return two finished runs and one that has begun."""
    run = shown_runs.run()
    config = dataclasses.replace(run.config, lr=0.5, momentum=0.9, clip=1.0)
    return {"a": run, "b": dataclasses.replace(run, config=config), "c": _begun()}


@pytest.mark.parametrize("name", _PAGES)
def test_no_fixed_text_is_in_english_alone(name: str) -> None:
    texts = {" ".join(text.split()) for text in Reader(_PAGES[name]()).alone}
    assert {text for text in texts if _WORD.search(text) and not _NAMES.fullmatch(text)} == set()


@pytest.mark.parametrize("path", sorted(_TEMPLATES.glob("*.j2")), ids=lambda path: path.name)
def test_a_template_has_no_words_of_its_own(path: Path) -> None:
    text = re.sub(r"\{\{.*?\}\}|\{%.*?%\}|\{#.*?#\}", "", path.read_text(encoding="utf-8"), flags=re.S)
    text = re.sub(r'<(\w+) (class="skip"|lang="en").*?</\1>|<style.*?</style>|<[^>]*>', " ", text, flags=re.S)
    left = set(_WORD.findall(text)) - {"normwise", "explain", "English"}
    assert left == set(), 'write {{ in_chinese("…") }}, and its Chinese in normwise/report/chinese/words'


def test_a_chinese_text_has_an_english_one_in_the_code() -> None:
    assert all(WORDS.values())
    source = _source()
    gone = {
        part
        for english in WORDS
        for part in re.split(r"\{[^}]*\}|[;,:.()](?: |$)", english.lower())
        if part.strip(" ;,:.()").removesuffix("s") not in source
    }
    assert gone == set(), "nothing in the code says this any more"


def _source() -> str:
    """Return all texts of the code and of the templates, in small letters."""
    files = [path for path in _SOURCE.rglob("*.py") if _SOURCE / "report/chinese" not in path.parents]
    texts = [text for path in files for text in _strings(ast.parse(path.read_text(encoding="utf-8")))]
    return "\n".join(
        [*texts, *(path.read_text(encoding="utf-8") for path in _TEMPLATES.glob("*.j2"))]
    ).lower()


def _strings(tree: ast.AST) -> Iterator[str]:
    """Yield the texts of a module; that of an f-string in one piece."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value
        elif isinstance(node, ast.JoinedStr):
            parts = [part.value for part in node.values if isinstance(part, ast.Constant)]
            yield "".join(map(str, parts))


@pytest.mark.parametrize("rule", all_rules(), ids=lambda rule: rule.code)
def test_what_a_rule_finds_in_its_sick_model_has_its_chinese(rule: Rule) -> None:
    found = examine(rule.sick().facts(), (rule,)).findings
    symptoms = [symptom for finding in found for symptom in finding.symptoms]
    texts = {symptom.detail for symptom in symptoms} | {
        measured.label for symptom in symptoms for measured in symptom.evidence
    }
    # An operation of an exported program has the name that torch gives it.
    assert {text for text in texts - {"", "batch_norm"} if not page_chinese(text)} == set()


@pytest.mark.parametrize(
    ("english", "expected"),
    [
        ("after the dropout '2', past other BN layers", "在 Dropout '2' 之后，中间隔着别的 BN 层"),
        (
            "after the LayerNormalization 'a', features on axis 2",
            "在 LayerNormalization 'a' 之后，特征在第 2 轴",
        ),
        ("after the linear of 'a'", "在 'a' 的 linear 之后"),
        ("after Linear 'a'", "在 Linear 'a' 之后"),
        ("'a' on rank 0 and none on ranks 1 and 2", "rank 0：'a'；rank 1 和 2：无"),
        ("batches at least on rank 1", "rank 1 上的批数（至少）"),
    ],
)
def test_of_several_patterns_the_closest_is_taken(english: str, expected: str) -> None:
    assert page_chinese(english) == expected


def test_a_run_keeps_its_name_if_it_is_a_word_of_the_page() -> None:
    names = ["training", "Course", "step"]
    runs = dict(zip(names, _runs().values(), strict=True))
    reader = Reader(runs_page(runs))
    alone = [text.strip() for text in reader.alone]
    # In the heads of three tables, and of two figures' tables where it has been evaluated.
    assert [alone.count(name) for name in names] == [5, 5, 3]
    figures = [json.loads(script)["chinese"] for script in reader.scripts if script.startswith("{")]
    assert figures == [
        {"names": [None, None], "x": "步", "y": "测试准确率"},
        {"names": [None, None], "x": "步", "y": "交叉熵（nat）"},
    ]


def test_a_pattern_fills_in_names_of_its_own() -> None:
    for english, chinese in WORDS.items():
        assert set(re.findall(r"\{(\w+)", chinese)) <= set(re.findall(r"\{(\w+)", english)), english


def _labels() -> set[str]:
    """Return the labels of the rules' evidence that are written out."""
    folders = (_SOURCE / "doctor/rules", _SOURCE / "judgement", _SOURCE / "keras/doctor/rules")
    calls = [
        node
        for folder in folders
        for path in folder.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "measured"
    ]
    return {
        call.args[0].value
        for call in calls
        if isinstance(call.args[0], ast.Constant) and isinstance(call.args[0].value, str)
    }


def test_a_label_of_evidence_has_its_chinese() -> None:
    labels = _labels()
    assert len(labels) > 100
    unknown = {label for label in labels if not page_chinese(label)}
    assert unknown == set(), "write them in normwise/report/chinese/words/evidence_words.py"

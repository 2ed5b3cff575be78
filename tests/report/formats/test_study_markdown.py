import re

from normwise.records import Study
from normwise.report import study_markdown


def test_every_part_of_a_finding_is_there(study: Study) -> None:
    text = study_markdown(study)
    for finding in study.findings[:2]:
        both = (finding.statement, finding.takeaway, finding.advice)
        parts = [
            *(one.en for one in both),
            *(one.zh for one in both),
            finding.falsifier,
            finding.rule,
            finding.dated,
        ]
        for part in (*parts, *finding.protocol, *(figure.title for figure in finding.figures)):
            assert part in text
    assert (
        "[Ioffe & Szegedy, Batch Normalization (2015)](<https://arxiv.org/abs/1502.03167>), section 4.1"
        in text
    )
    assert "- Tutorial 004: advantages" in text
    assert "Revised then: The first rule knew plain SGD only." in text
    assert "2025-03-01 12:30 UTC" in text
    assert "| torch | 2.13.0 |" in text
    assert r"**\~ It depends: it holds for 3 sigmoid layers** (`higher-rates`; 000, 003)" in text


def test_it_begins_with_the_headline_and_what_to_do(study: Study) -> None:
    text = study_markdown(study)
    assert text.startswith(
        "# Batch normalization buys speed, depth and freedom from biases; it costs memory.\n"
    )
    assert "- [Fold it before you deploy](#cost) (部署前把它折叠)" in text
    assert "| [BN costs memory and time.](#cost) | 001, 003 | **✓ Yes** | 1.4 to 2.2 times |" in text


def test_cases_are_drawn(study: Study) -> None:
    text = study_markdown(study)
    assert text.count("●") == sum(
        case.outcome == "shown" and not case.exact for finding in study.findings for case in finding.cases
    )
    assert "no difference beyond rounding" in text


def test_rows_of_a_table_have_the_cells_of_its_head(study: Study) -> None:
    columns = None
    for line in study_markdown(study).splitlines():
        if not line.startswith("|"):
            columns = None
            continue
        cells = len(re.findall(r"(?<!\\)\|", line)) - 1
        columns = columns or cells
        assert cells == columns, line


def test_text_is_not_markup(study: Study) -> None:
    text = study_markdown(study)
    assert not re.search(r"(?<!\\)<(b|/b|script|/script)>", text)
    assert "](javascript:" not in text
    assert "](<javascript:" not in text


def test_links_lead_to_anchors(study: Study) -> None:
    text = study_markdown(study)
    targets = set(re.findall(r"\]\(#([\w-]+)\)", text))
    assert targets == {finding.claim for finding in study.findings}
    assert all(text.count(f'<a id="{target}"></a>') == 1 for target in targets)


def test_long_curves_are_thinned_and_it_says_so(study: Study) -> None:
    text = study_markdown(study)
    assert text.count("12 of 41 positions are shown.") == 3
    assert "| 2000 | 98.1%" in text


def test_failed_runs_are_told(study: Study) -> None:
    assert "| 20 | 95.0% | 5 failed |" in study_markdown(study)


def test_the_same_study_gives_the_same_bytes(study: Study) -> None:
    assert study_markdown(study) == study_markdown(study)

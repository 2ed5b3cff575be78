import re

from normwise.records import Study
from normwise.report import study_markdown


def test_every_part_of_a_finding_is_there(study: Study) -> None:
    text = study_markdown(study)
    for finding in study.findings[:2]:
        for part in (finding.statement, finding.sentence, finding.falsifier, finding.rule, *finding.protocol):
            assert part in text
        for figure in finding.figures:
            assert figure.title in text
    assert (
        "[Ioffe & Szegedy, Batch Normalization (2015)](<https://arxiv.org/abs/1502.03167>), section 4.1"
        in text
    )
    assert "2025-03-01 12:30 UTC" in text
    assert "| torch | 2.13.0 |" in text
    assert "**~ depends** (`higher-rates`)" in text


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
    targets = re.findall(r"\]\(#([\w-]+)\)", text)
    assert targets == [finding.claim for finding in study.findings]
    assert all(f'<a id="{target}"></a>' in text for target in targets)


def test_long_curves_are_thinned_and_it_says_so(study: Study) -> None:
    text = study_markdown(study)
    assert text.count("12 of 41 positions are shown.") == 1
    assert "| 2000 | 98.1%" in text


def test_the_same_study_gives_the_same_bytes(study: Study) -> None:
    assert study_markdown(study) == study_markdown(study)

"""Chinese of a study's figures and numbers, by the names that it gives its cases in both languages."""

from normwise.records import Study
from normwise.report.chinese.chinese import Chinese
from normwise.report.chinese.words.page_words import PAGE
from normwise.report.chinese.words.study_words import STUDY


def chinese_of_study(study: Study) -> Chinese:
    """Return the Chinese of the texts that a study's claims write in English alone."""
    cases = [case for finding in study.findings for case in (*finding.cases, *finding.controls)]
    return Chinese({**{case.gloss.en: case.gloss.zh for case in cases}, **PAGE, **STUDY})

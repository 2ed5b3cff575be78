"""Words of figures in Chinese, put together from what is known of their parts."""

import re

from normwise.records import Study
from normwise.report.views.chinese_words import CHINESE

#: What joins the parts of a name, in English and in Chinese; the widest first.
_JOINTS = ((": ", "："), (", ", "，"))
_BRACKETS = re.compile(r"(?P<before>.+) \((?P<within>[^()]+)\)")
_NAMED_NUMBER = re.compile(r"(?:learning )?rate (?P<number>[\d.e-]+)")
_BATCH = re.compile(r"(?P<of>BN, batch|BN over) (?P<number>\d+)")
_SENTENCES = re.compile(r"(?<=\.) (?=[A-Z0-9])")


class Chinese:
    """The Chinese of a text of a figure, by the names that a study gives its cases in both languages."""

    def __init__(self, study: Study):
        cases = [case for finding in study.findings for case in (*finding.cases, *finding.controls)]
        self._words = {**{case.gloss.en: case.gloss.zh for case in cases}, **CHINESE}

    def __call__(self, text: str) -> str:
        """Return the text in Chinese; nothing where a part of it is not known."""
        if text in self._words:
            return self._words[text]
        if re.fullmatch(r"[\d.,×]+", text):
            return text
        if number := _NAMED_NUMBER.fullmatch(text):
            return f"学习率 {number['number']}"
        if batch := _BATCH.fullmatch(text):
            return f"BN，{'批量' if batch['of'].endswith('batch') else '一起归一化'} {batch['number']}"
        sentences = _SENTENCES.split(text)
        if len(sentences) > 1:
            return self._joined(sentences, "")
        for english, joint in _JOINTS:
            before, found, after = text.partition(english)
            if found and (both := self._joined([before, after], joint)):
                return both
        if brackets := _BRACKETS.fullmatch(text):
            parts = [self(brackets["before"]), self(brackets["within"])]
            return f"{parts[0]}（{parts[1]}）" if all(parts) else ""
        return ""

    def _joined(self, parts: list[str], joint: str) -> str:
        found = [self(part) for part in parts]
        return joint.join(found) if all(found) else ""

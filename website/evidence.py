"""The study's page docs/evidence.md as an overview and a page for each claim; in Chinese as one page of summaries."""

import re
from typing import NamedTuple

_SECTION = re.compile(r'^<a id="(\w+)"></a>\n\n## (.*)\n', re.M)
_CHINESE = re.compile(r"[\u4e00-\u9fff]")
_VERDICT = re.compile(r"^\*\*\\?([✓✗~?]) ?(.*?)\*\*", re.M)
_WORDS = {"✓": "成立", "✗": "不成立", "~": "视情况而定", "?": "数据不足以判定"}
_FINER = {"exactly": "（严格）", "the contrary": "（恰恰相反）"}


class Section(NamedTuple):
    """The section of a claim."""

    name: str
    heading: str
    text: str


def overview(evidence: str) -> str:
    """Return what comes before the sections, with links to the pages of the claims."""
    return re.sub(r"\]\(#(\w+)\)", r"](claims/\1.md)", _parts(evidence)[0])


def claim_pages(evidence: str) -> dict[str, str]:
    """Return the page of each claim by its path."""
    return {
        f"claims/{section.name}.md": f"# {section.heading}\n{re.sub(r'^### ', '## ', section.text, flags=re.M)}"
        for section in _parts(evidence)[1]
    }


def summaries(evidence: str) -> str:
    """Return the Chinese page: what the study found as a whole, and of each claim what was found and what to do."""
    first, sections = _parts(evidence)
    lines = ["# 证据：每个说法，逐条检验", ""]
    lines += [line for line in first.splitlines() if _CHINESE.match(line)]
    lines += ["", "![每个说法一行：谁说的、各网络的效应与区间、判定](pictures/evidence.svg)", ""]
    lines += ["判定规则在运行之前写定。协议、规则、区间和数据见各条的英文页面。"]
    for section in sections:
        lines += ["", *_summary(section)]
    return "\n".join(lines) + "\n"


def _parts(evidence: str) -> tuple[str, list[Section]]:
    """Return the overview, and the sections of the claims."""
    first, *parts = _SECTION.split(evidence)
    return first, [Section(*parts[at : at + 3]) for at in range(0, len(parts), 3)]


def _summary(section: Section) -> list[str]:
    verdict = _VERDICT.search(section.text)
    if verdict is None:
        raise ValueError(f"docs/evidence.md: the section of {section.name} has no verdict")
    paragraphs = section.text.strip().split("\n\n")
    finer = next((words for word, words in _FINER.items() if word in verdict[2]), "")
    found = [_chinese_part(text) for text in paragraphs[2:3]]
    advice = [
        f"**怎么做。** {_chinese_part(text)}" for text in paragraphs if text.startswith("**What to do.**")
    ]
    lines = [f"## {paragraphs[0]}", "", f"**{verdict[1]} {_WORDS[verdict[1]]}{finer}**"]
    for text in (*found, *advice, f"[协议、规则与数据（英文）](../claims/{section.name}.md)"):
        lines += ["", text]
    return lines


def _chinese_part(text: str) -> str:
    """Return the Chinese that follows the English of a paragraph."""
    first = _CHINESE.search(text)
    if first is None:
        return ""
    end = text.rfind(". ", 0, first.start())
    return text[end + 2 :] if end >= 0 else text

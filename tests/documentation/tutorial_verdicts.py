"""Verdicts on the pages about the five tutorials, which follow those of the study.

Run: python -m tests.documentation.tutorial_verdicts

A row of a table is a statement of a tutorial. Where its verdict is a link to a claim in docs/evidence.md, the verdict
is that of the claim, and the text in italics behind it is what was measured. Other verdicts are written by hand. The
table at the top counts the rows, and the picture above it is drawn from the table.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from normwise.report.views.verdicts import SYMBOLS
from tests.documentation.guides import translations
from website.verdict_bars import verdict_bars

COMMAND = "python -m tests.documentation.tutorial_verdicts"
_CLAIM = re.compile(
    r"^\| \[.*\]\(#(?P<name>\w+)\) \| (?P<said>[^|]*) \| \*\*\\?(?P<symbol>.)[^|]*\*\* \| (?P<measured>[^|]*) \|$",
    re.M,
)
_SECTION = re.compile(r"## (?P<number>\d{3}) .+")
_ROW = re.compile(r"\| (?P<place>[^|]+) \| (?P<says>[^|]+) \| (?P<verdict>[^|]+) \| (?P<evidence>[^|]+) \|")
_LINKED = re.compile(r"\[(?P<word>[^]]*)\]\((?P<path>\S*evidence\.md#)(?P<claim>\w+)\)")
_ITALICS = re.compile(r"(?<!\*)\*[^*]+\*(?!\*)")
_COUNTED = re.compile(r"(?P<title>\| \[(?P<number>\d{3}) [^|]*\]\(#[^|]*\) \|).*")
_TOTAL = re.compile(r"(?P<title>\| \*\*[^|*]+\*\* \|).*")
#: Head of the column of verdicts.
_HEADS = ("verdict", "判断")
_VERDICTS = tuple(SYMBOLS)
#: What a measurement has beside numbers, in Chinese; the longest first.
_CHINESE = {
    "no difference beyond rounding": "除舍入误差外没有差别",
    "nothing was measured": "没有测量",
    "over 1,000 trillion times": "1000 万亿倍以上",
    "a difference of ": "差别为 ",
    "% of the samples": "% 的样本",
    "% of the outputs": "% 的输出",
    "% of the channels": "% 的通道",
    "% of the loss": "% 的损失",
    "about the same": "大致相同",
    "not measurable": "无法测得",
    "no interval": "无区间",
    " trillion times": " 万亿倍",
    " billion times": " 十亿倍",
    " million times": " 百万倍",
    "the same": "相同",
    "at least ": "至少 ",
    "at most ": "至多 ",
    "one seed": "仅一个种子",
    "about ": "约 ",
    " or more": " 或更大",
    " or less": " 或更小",
    " points": " 个百分点",
    " times": " 倍",
    " (": "（",
    ")": "）",
    "; ": "；",
    " to ": " 至 ",
}


@dataclass(frozen=True)
class Finding:
    """A claim as docs/evidence.md has it.

    Attributes:
        said: Numbers of the tutorials that make it.
        verdict: Verdict of the study.
        measured: What was measured, in English.
    """

    said: tuple[str, ...]
    verdict: str
    measured: str


@dataclass(frozen=True)
class Statement:
    """A statement of a tutorial, as a row has it.

    Attributes:
        tutorial: Number of the tutorial.
        verdict: Word of its verdict, or the claim whose verdict it is.
        row: The whole row.
    """

    tutorial: str
    verdict: str
    row: str


@dataclass(frozen=True)
class Page:
    """A page in one language.

    Attributes:
        path: Its file.
        picture: File of the picture of its table.
        words: Word of each verdict, from right to not decided.
        measured: What a measurement is in its language.
    """

    path: Path
    picture: Path
    words: tuple[str, ...]
    measured: Callable[[str], str]


def in_chinese(measured: str) -> str:
    """Return a measurement in Chinese.

    Raises:
        ValueError: it has a word that is not known.
    """
    text = measured
    for english, chinese in _CHINESE.items():
        text = text.replace(english, chinese)
    if re.search(r"[A-Za-z]", text):
        raise ValueError(f"{measured!r} has a word that has no Chinese in {__name__}._CHINESE: {text!r}")
    return text


_DOCS = translations.ROOT / "docs"
ENGLISH = Page(
    _DOCS / "five-tutorials.md",
    _DOCS / "pictures/five-tutorials.svg",
    ("right", "half right", "wrong", "not decided"),
    str,
)
CHINESE = Page(
    _DOCS / "zh/five-tutorials.md",
    _DOCS / "pictures/five-tutorials.zh.svg",
    ("对", "半对", "错", "未定"),
    in_chinese,
)


def main() -> None:
    """Fill in both pages and draw their pictures; the Chinese page stays looked at where it was."""
    looked_at = translations.recorded(CHINESE.path)[1] == translations.digest(ENGLISH.path)
    found = findings((translations.ROOT / "docs/evidence.md").read_text(encoding="utf-8"))
    for page in (ENGLISH, CHINESE):
        text = filled(page.path.read_text(encoding="utf-8"), page, found)
        page.path.write_text(text, encoding="utf-8", newline="\n")
        page.picture.write_text(verdict_bars(text), encoding="utf-8", newline="\n")
    if looked_at:
        translations.main([CHINESE.path])


def findings(evidence: str) -> dict[str, Finding]:
    """Return all claims of docs/evidence.md by name."""
    verdicts = {symbol: verdict for verdict, symbol in SYMBOLS.items()}
    return {
        claim["name"]: Finding(
            tuple(re.findall(r"\d{3}", claim["said"])), verdicts[claim["symbol"]], claim["measured"]
        )
        for claim in _CLAIM.finditer(evidence)
    }


def filled(text: str, page: Page, found: dict[str, Finding]) -> str:
    """Return the text of a page with the verdicts of the study and with its rows counted.

    Raises:
        ValueError: a row has a verdict of another name, or a claim that the study has not.
    """
    lines, counts = [], dict[str, Counter[str]]()
    for number, line in _by_tutorial(text):
        if row := _row(number, line):
            line, word = _judged(row, page, found)
            counts.setdefault(number, Counter())[word] += 1
        lines.append(line)
    return "\n".join(_counted(line, page, counts) for line in lines)


def statements(text: str) -> Iterator[Statement]:
    """Yield the statements of a page in order."""
    for number, line in _by_tutorial(text):
        if row := _row(number, line):
            linked = _LINKED.fullmatch(row["verdict"])
            yield Statement(number, linked["claim"] if linked else row["verdict"], line)


def _by_tutorial(text: str) -> Iterator[tuple[str, str]]:
    """Yield each line with the number of the tutorial whose section it is in; nothing before the first."""
    number = ""
    for line in text.split("\n"):
        if section := _SECTION.fullmatch(line):
            number = section["number"]
        yield number, line


def _row(number: str, line: str) -> re.Match[str] | None:
    """Return a line of a tutorial's table in its parts; None for its head and for other lines."""
    row = _ROW.fullmatch(line) if number else None
    return None if row is None or row["verdict"] in _HEADS else row


def _judged(row: re.Match[str], page: Page, found: dict[str, Finding]) -> tuple[str, str]:
    """Return a row with its verdict, and the word of it."""
    linked = _LINKED.fullmatch(row["verdict"])
    if linked is None:
        if row["verdict"] not in page.words:
            raise ValueError(
                f"{page.path}: {row['verdict']!r} is none of {', '.join(page.words)}: {row['says']}"
            )
        return row[0], row["verdict"]
    if linked["claim"] not in found:
        raise ValueError(f"{page.path}: docs/evidence.md has no claim {linked['claim']!r}: {row['says']}")
    finding = found[linked["claim"]]
    word = page.words[_VERDICTS.index(finding.verdict)]
    verdict = f"[{word}]({linked['path']}{linked['claim']})"
    evidence = _ITALICS.sub(lambda _: f"*{page.measured(finding.measured)}*", row["evidence"])
    return f"| {row['place']} | {row['says']} | {verdict} | {evidence} |", word


def _counted(line: str, page: Page, counts: dict[str, Counter[str]]) -> str:
    """Return a line of the table at the top with its numbers, and any other as it is."""
    if tutorial := _COUNTED.fullmatch(line):
        title, count = tutorial["title"], counts.get(tutorial["number"], Counter())
    elif total := _TOTAL.fullmatch(line):
        title, count = total["title"], sum(counts.values(), Counter[str]())
    else:
        return line
    return f"{title} {count.total()} | {' | '.join(str(count[word]) for word in page.words)} |"


if __name__ == "__main__":
    main()

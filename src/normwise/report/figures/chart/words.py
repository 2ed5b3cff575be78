"""Words of a picture, in English and in Chinese."""

from collections.abc import Callable, Sequence

from markupsafe import Markup

from normwise.report.figures.printable import printable

#: From an English text to its Chinese; to nothing where it has none.
Translation = Callable[[str], str]
#: Height of a line of text.
LINE = 10.5


def untranslated(text: str) -> str:
    """Return nothing: for a picture in English alone."""
    return ""


def text_lines(x: float, y: float, lines: Sequence[str], kind: str) -> Markup:
    """Return lines of text, one under the other."""
    return Markup("").join(text_line(x, y + LINE * i, line, kind) for i, line in enumerate(lines))


def both(x: float, y: float, words: str, kind: str, chinese: Translation) -> Markup:
    """Return a line of text in both languages."""
    zh = chinese(words)
    return in_both(text_line(x, y, words, kind), text_line(x, y, zh, kind) if zh else None)


def in_both(en: Markup, zh: Markup | None) -> Markup:
    """Return what is seen in English and what is seen in Chinese; English alone stands for both."""
    if zh is None or zh == en:
        return en
    return Markup('<g lang="en">{}</g><g lang="zh-Hans">{}</g>').format(en, zh)


def text_line(x: float, y: float, words: str, kind: str) -> Markup:
    """Return a line of text of this class."""
    return Markup('<text class="{}" x="{}" y="{}">{}</text>').format(
        kind, f"{x:g}", f"{y:g}", printable(words)
    )

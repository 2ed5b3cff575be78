"""Chinese of a text of a page: of the whole, of its pattern, or put together from what is known of its parts."""

import re
from collections.abc import Mapping

#: What joins the parts of a text, in English and in Chinese; the widest first.
_JOINTS = (("; ", "；"), (": ", "："), (", ", "，"))
_BRACKETS = re.compile(r"(?P<before>.+) \((?P<within>[^()]+)\)")
_SENTENCES = re.compile(r"(?<=\.) (?=[A-Z0-9])")
#: A number, or several of them.
_NUMBERS = re.compile(r"[\d.,×]+%?")
#: Where other layers have a name.
_WHOLE = "the model"
_PLACE = re.compile(r"\{(?P<name>\w+)(?P<kind>:number|:name)?\}")
_KINDS = {":number": r"[-+−]?(?:\d[\d.,]*(?:e[-+]?\d+)?|∞|–|nan|inf)%?", ":name": ".+?", None: ".+?"}


class Chinese:
    """Chinese of English texts.

    A text may be a pattern, such as ``"{layers} examined by {rules}."``. ``{count:number}`` stands for a number and
    ``{path:name}`` for a name, which are the same in both languages; ``{layers}`` stands for a text that has a
    Chinese itself.
    """

    def __init__(self, words: Mapping[str, str]):
        self._words = {en: zh for en, zh in words.items() if not _PLACE.search(en)}
        self._patterns = [(_pattern(en), zh) for en, zh in words.items() if _PLACE.search(en)]

    def __call__(self, text: str) -> str:
        """Return the text in Chinese; nothing where a part of it is not known."""
        if text in self._words:
            return self._words[text]
        if _NUMBERS.fullmatch(text):
            return text
        for pattern, zh in self._patterns:
            if (found := pattern.fullmatch(text)) and (filled := self._filled(found, zh)):
                return filled
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

    def _filled(self, found: re.Match[str], zh: str) -> str:
        """Return the Chinese of a pattern with what was found in its places; nothing where that is not known."""
        parts = {
            name: self(value) if name.startswith("said_") or value == _WHOLE else value
            for name, value in found.groupdict().items()
        }
        if not all(parts.values()):
            return ""
        return zh.format_map({name.removeprefix("said_"): value for name, value in parts.items()})

    def _joined(self, parts: list[str], joint: str) -> str:
        found = [self(part) for part in parts]
        return joint.join(found) if all(found) else ""


def _pattern(english: str) -> re.Pattern[str]:
    """Return the regular expression of a text with places; the groups of texts to translate begin with "said_"."""
    parts, end = [], 0
    for place in _PLACE.finditer(english):
        name = place["name"] if place["kind"] else f"said_{place['name']}"
        parts += [re.escape(english[end : place.start()]), f"(?P<{name}>{_KINDS[place['kind']]})"]
        end = place.end()
    return re.compile("".join([*parts, re.escape(english[end:])]))

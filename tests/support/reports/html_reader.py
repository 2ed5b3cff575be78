"""A reader of pages that complains about elements that are not closed."""

from html.parser import HTMLParser

VOID = {"meta", "link", "br", "hr", "img", "input"}


class Reader(HTMLParser):
    """The elements of a page, with a complaint about each that is not closed by its own tag.

    Attributes:
        text: All text of the page.
        english: Its text where English is chosen.
        alone: Text that is shown in both languages, without code.
    """

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []
        self.text: list[str] = []
        self.english: list[str] = []
        self.alone: list[str] = []
        self._open: list[str] = []
        self._languages: list[str | None] = []
        self.feed(page)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)
            self._languages.append(dict(attrs).get("lang") if tag != "html" else None)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag
        self._languages.pop()

    def handle_data(self, data: str) -> None:
        if self._open and self._open[-1] == "script":
            self.scripts.append(data)
            return
        self.text.append(data)
        if "zh-Hans" not in self._languages:
            self.english.append(data)
        if not any(self._languages) and not {"style", "title", "code"} & set(self._open):
            self.alone.append(data)

    def all(self, attribute: str) -> list[str]:
        return [attrs[attribute] or "" for _, attrs in self.elements if attribute in attrs]

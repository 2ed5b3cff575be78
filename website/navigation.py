"""The tables of contents that Sphinx makes the sidebar of, added to the pages that they belong to."""

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase

#: Of each page, captions and the pages below each; a pattern stands for those that match it, by name.
_ENGLISH = {
    "index.md": [
        ("Start", ["tutorial.md", "faq.md", "glossary.md"]),
        ("How to", ["how-to/*.md"]),
        (
            "Explanation",
            [
                "explanation/what-bn-computes.md",
                "explanation/how-statistics-go-wrong.md",
                "explanation/calibrate.md",
                "explanation/fold.md",
                "explanation/convert.md",
                "explanation/insert-freeze-accelerate.md",
            ],
        ),
        (
            "Doctor",
            [
                "doctor/README.md",
                "doctor/command-line.md",
                "doctor/processes.md",
                "doctor/healed.md",
                "doctor/calibration.md",
                "doctor/third-party.md",
            ],
        ),
        ("Evidence", ["evidence.md", "five-tutorials.md"]),
        ("Layers and surgery", ["layers.md", "surgery.md", "small-batches.md", "models.md", "keras/*.md"]),
        ("Speed and scale", ["speed.md", "compile.md", "gpu.md", "processes/*.md"]),
        ("Reference", ["reference/*.md", "changelog.md"]),
    ],
    "doctor/README.md": [("", ["doctor/*/BN*.md"])],
    "evidence.md": [("", ["claims/*.md"])],
}
_CHINESE = {
    "index.md": [
        ("入门", ["tutorial.md", "faq.md", "glossary.md"]),
        ("操作指南", ["how-to/*.md"]),
        ("诊断", ["doctor/README.md"]),
        ("证据", ["evidence.md", "five-tutorials.md"]),
    ]
}
#: Short names of English pages whose titles are sentences.
_TITLES = {
    "evidence.md": "What the study found",
    "speed.md": "How fast it is",
    "compile.md": "Which to use under torch.compile",
    "models.md": "On other libraries' models",
    "doctor/command-line.md": "Using the doctor",
    "doctor/healed.md": "Broken models, healed",
    "doctor/third-party.md": "On other libraries' models",
}


def toctrees(page: str, pages: Sequence[str], language: str) -> str:
    """Return the hidden tables of contents of a page, as MyST directives.

    Args:
        page: Path of the page in the folder of the sources.
        pages: Paths of all pages.
        language: ``"en"`` or ``"zh"``.
    """
    tables = (_CHINESE if language == "zh" else _ENGLISH).get(page, [])
    titles = {} if language == "zh" else _TITLES
    return "".join(_toctree(caption, _matching(patterns, pages), titles) for caption, patterns in tables)


def _matching(patterns: Sequence[str], pages: Sequence[str]) -> list[str]:
    return [name for pattern in patterns for name in sorted(pages) if fnmatchcase(name, pattern)]


def _toctree(caption: str, pages: Sequence[str], titles: Mapping[str, str]) -> str:
    options = [":hidden:", *([f":caption: {caption}"] if caption else [])]
    entries = [f"{titles[page]} </{page}>" if page in titles else f"/{page}" for page in pages]
    return "\n".join(["", "```{toctree}", *options, "", *entries, "```", ""])

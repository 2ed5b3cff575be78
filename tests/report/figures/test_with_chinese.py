"""Words of a drawing in Chinese."""

from normwise.report.figures.with_chinese import with_chinese

_WORDS = {"off by (σ)": "误差", "a < b": "甲 < 乙", "step": "步", "a long name of a line": "很长的名字"}


def _drawn(*traces: dict[str, object]) -> dict[str, object]:
    axes = {"xaxis": {"title": {"text": "step"}}, "yaxis": {"title": {"text": "loss"}}}
    return with_chinese({"traces": list(traces), "layout": axes}, lambda text: _WORDS.get(text, ""))


def test_names_and_titles_have_their_chinese_and_unknown_ones_none() -> None:
    drawn = _drawn({"name": "a long<br>name of a line"}, {"name": "a &lt; b"}, {"name": "new"}, {})
    assert drawn["chinese"] == {"names": ["很长的名字", "甲 &lt; 乙", None, None], "x": "步", "y": None}


def test_colours_have_the_chinese_of_their_title() -> None:
    drawn = _drawn({"colorbar": {"title": {"text": "off by (σ)"}}})
    assert drawn["chinese"] == {"names": ["误差"], "x": "步", "y": None}

"""JSON that nobody's program wrote ends in a ValueError, whatever it is."""

import json
from pathlib import Path

import pytest

from normwise.errors import RunError
from normwise.records import InputSpec, Point, from_json, read_record, to_json

_POINT = Point(1, 0.5, 0.5, 0.5, {"measure": [1, {"a": 2}]})


def _point(field: str, value: str) -> bytes:
    plain = json.loads(to_json(_POINT)) | {field: "VALUE"}
    return json.dumps(plain).replace('"VALUE"', value).encode()


def test_a_record_is_read_back() -> None:
    assert from_json(Point, to_json(_POINT).encode()) == _POINT


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"[" * 100_000, "nested more deeply"),
        (b'{"step":' * 100_000, "nested more deeply"),
        (
            _point("measured", '{"a": ' + "[" * 500 + "]" * 500 + "}"),
            r"Point\.measured\.a: .*nested more deeply",
        ),
        (b"\xff\xfe\x00", "can't decode"),
        (b"", "Expecting value"),
        (_point("loss", "NaN"), "NaN is not a number"),
        (_point("loss", "-Infinity"), "-Infinity is not a number"),
        (_point("loss", "1e999"), r"Point\.loss: expected a finite number, got inf"),
        (_point("loss", "1" * 400), r"Point\.loss: expected a finite number, got a whole number of hundreds"),
        (_point("step", "1" * 400), r"Point\.step: expected a whole number of fewer digits"),
        (_point("step", "1" * 5000), "Exceeds the limit"),
        (_point("step", json.dumps(list(range(10**5)))), "expected int, got a list of 100,000"),
        (_point("step", json.dumps("x" * 10**5)), r"expected int, got 'x{199}\.\.\.$"),
    ],
    ids=range(13),
)
def test_what_is_no_record_is_said_in_a_line(content: bytes, message: str) -> None:
    with pytest.raises(ValueError, match=message) as raised:
        from_json(Point, content)
    assert len(str(raised.value)) < 500


@pytest.mark.parametrize("name", ["\\ud800", "x\\uDFFFx", "\\udc00\\ud800"])
def test_half_of_a_surrogate_pair_is_no_character(name: str) -> None:
    content = f'{{"task": "image", "shape": [1], "classes": ["{name}"]}}'.encode()
    with pytest.raises(ValueError, match="unpaired surrogate"):
        from_json(InputSpec, content)


def test_a_whole_surrogate_pair_is_a_character() -> None:
    content = b'{"task": "image", "shape": [1], "classes": ["\\ud83d\\udc4d"]}'
    assert from_json(InputSpec, content).classes == ("👍",)


def test_a_file_is_named_with_what_is_wrong_and_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"[]")
    with pytest.raises(RunError, match=r"file is damaged or of another version: Point: .*\. Begin anew$"):
        read_record(tmp_path / "file", Point, "Begin anew")

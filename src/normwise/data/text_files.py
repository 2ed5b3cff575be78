"""Texts in files: one file for each class, or tables with a column of texts and one of labels."""

import csv
import io
from pathlib import Path
from typing import Literal

from normwise.data.sequence_data import SequenceData
from normwise.data.text_data import Text, text_data
from normwise.errors import DataError

_FORMS = "<class>.txt for each of two classes at least, one text a line; or train.csv and test.csv"


def text_files(source: str | Path) -> SequenceData:
    """The texts in a folder or in a CSV file.

    A folder has ``<class>.txt`` for each class, with one text a line; or ``train.csv`` and ``test.csv``. A CSV file has
    a first line with names of columns, of which ``text`` and ``label`` are taken. Files are UTF-8. Where there is no
    test part a tenth of each class is for the test, the same in every call. Lines without any text are passed over in a
    ``.txt`` file, and an error in a table.

    Raises:
        DataError: there are no such files, or one is faulty; names file and line.
    """
    path = Path(source)
    if path.is_file():
        return text_data(path.stem, _table(path, None))
    tables = {part: path / f"{part}.csv" for part in ("train", "test")}
    if any(table.is_file() for table in tables.values()):
        for table in tables.values():
            if not table.is_file():
                raise DataError(f"{table}: is missing; expected {_FORMS}")
        return text_data(
            path.resolve().name, _table(tables["train"], "train") + _table(tables["test"], "test")
        )
    files = sorted(file for file in path.iterdir() if file.suffix == ".txt" and not file.name.startswith("."))
    if len(files) < 2:
        got = f"only {files[0].name}" if files else "none of these"
        raise DataError(f"{path}: has {got}; expected {_FORMS}")
    return text_data(path.resolve().name, [text for file in files for text in _lines(file)])


def _lines(path: Path) -> list[Text]:
    texts = [Text(line, path.stem) for line in _decoded(path).split("\n") if line.strip()]
    if not texts:
        raise DataError(f"{path}: has no text; add some, one a line, or remove the file")
    return texts


def _table(path: Path, part: Literal["train", "test"] | None) -> list[Text]:
    rows = csv.reader(io.StringIO(_decoded(path), newline=""), strict=True)
    texts: list[Text] = []
    try:
        header = [name.strip().lower() for name in next(rows, [])]
        for name in ("text", "label"):
            if name not in header:
                raise DataError(
                    f"{path}: has no column {name!r}; its first line names {', '.join(map(repr, header)) or 'none'}"
                )
        for row in rows:
            if not row:
                continue
            if len(row) != len(header):
                raise DataError(
                    f"{path}, line {rows.line_num}: has {len(row)} columns, expected {len(header)} as in the first line"
                )
            fields = dict(zip(header, row, strict=True))
            for name in ("text", "label"):
                if not fields[name].strip():
                    raise DataError(
                        f"{path}, line {rows.line_num}: has no {name}; fill it in or remove the line"
                    )
            texts.append(Text(fields["text"], fields["label"].strip(), part))
    except csv.Error as error:
        raise DataError(f"{path}, line {rows.line_num}: is no CSV ({error})") from error
    if not texts:
        raise DataError(f"{path}: has no rows below the names of its columns")
    return texts


def _decoded(path: Path) -> str:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from error
    try:
        return content.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise DataError(
            f"{path}, line {line}: is not UTF-8 (byte {content[error.start]:#x}); save the file as UTF-8"
        ) from error

"""Texts in files: one file for each class, or tables with a column of texts and one of labels."""

import csv
import io
from pathlib import Path

from normwise.data.files.class_files import class_files
from normwise.data.files.text_encoding import without_mark
from normwise.data.files.user_file import check_unicode, read_user_file
from normwise.data.options import TextOptions
from normwise.data.protocols import DataPart
from normwise.data.sequences.sequence_data import SequenceData
from normwise.data.text.text_data import Text, text_data
from normwise.errors import DataError
from normwise.files import is_folder, is_there

_LARGEST = 2**30
_FORMS = "<class>.txt for each of two classes at least, one text a line; or train.csv and test.csv"


def text_files(source: str | Path, options: TextOptions | None = None) -> SequenceData:
    """Read the texts in a folder or in a CSV file.

    A folder has ``<class>.txt`` for each class, with one text a line; or ``train.csv`` and ``test.csv``. A CSV file has
    a first line with names of columns, of which ``text`` and ``label`` are taken. Files are UTF-8, with or without a
    byte order mark. Where there is no test part a tenth of each class is for the test, the same in every call. Lines
    without any text are passed over in a ``.txt`` file, and an error in a table. Beside ``<class>.txt`` hidden files
    and notes are passed over, see :func:`class_files`; any other file is an error.

    Raises:
        DataError: there are no such files, one is faulty, or a class has a name that is not UTF-8; names file and line.
    """
    path = Path(source)
    if not is_folder(path):
        return text_data(path.stem, _table(path, None), options)
    tables = {part: path / f"{part}.csv" for part in ("train", "test")}
    if any(is_there(table) for table in tables.values()):
        for table in tables.values():
            if not is_there(table):
                raise DataError(f"{table}: is missing; expected {_FORMS}")
        texts = _table(tables["train"], "train") + _table(tables["test"], "test")
        return text_data(path.resolve().name, texts, options)
    files = class_files(path, (".txt",), "text")
    if len(files) < 2:
        got = f"only {files[0].name}" if files else "none of these"
        raise DataError(f"{path}: has {got}; expected {_FORMS}")
    return text_data(path.resolve().name, [text for file in files for text in _lines(file)], options)


def _lines(path: Path) -> list[Text]:
    check_unicode(path.stem, f"{path.parent}: the name of the class file")
    # \r alone is a line's end of old, and no mark within a text.
    lines = _decoded(path).replace("\r", "\n").split("\n")
    texts = [Text(line, path.stem) for line in lines if line.strip()]
    if not texts:
        raise DataError(f"{path}: has no text; add some, one a line, or remove the file")
    return texts


def _table(path: Path, part: DataPart | None) -> list[Text]:
    rows = csv.reader(io.StringIO(_decoded(path), newline=""), strict=True)
    texts: list[Text] = []
    try:
        header = [name.strip().lower() for name in next(rows, [])]
        for name in ("text", "label"):
            if header.count(name) > 1:
                raise DataError(f"{path}: has {header.count(name)} columns {name!r}; rename all but one")
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
        raise DataError(f"{path}, line {rows.line_num}: is not valid CSV ({error})") from error
    if not texts:
        raise DataError(f"{path}: has no rows below the names of its columns")
    return texts


def _decoded(path: Path) -> str:
    content = without_mark(read_user_file(path, _LARGEST), path)
    try:
        text = content.decode()
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise DataError(
            f"{path}, line {line}: is not UTF-8 (byte {content[error.start]:#x}); save the file as UTF-8"
        ) from error
    if (at := text.find("\0")) >= 0:
        raise DataError(
            f"{path}, line {text.count(chr(10), 0, at) + 1}: has a NUL, as UTF-16 and binary files have; save the file "
            "as UTF-8"
        )
    return text.replace("\r\n", "\n")

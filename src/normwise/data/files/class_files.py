"""The data files in a folder of a data set: all are read or refused by name, none is left out in silence."""

from pathlib import Path

from normwise.data.files.user_file import entries
from normwise.errors import DataError
from normwise.files import is_folder

#: Made by file managers without anybody's asking.
_MADE_BY_SYSTEMS = ("thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r")
#: Names and endings of what describes data of any kind.
_DESCRIPTIONS = ("readme", "license", "licence", "copying", "changelog", "md5sums", "sha256sums")
_NOTES = (".md", ".rst", ".yaml", ".yml", ".toml", ".log", ".md5", ".sha256", ".py")
#: Texts and tables about images and recordings: labels, transcripts, segments. For texts these are data.
_TABLES = (
    *(".txt", ".csv", ".tsv", ".json", ".jsonl", ".xml", ".html", ".htm"),
    *(".lab", ".textgrid", ".phn", ".wrd", ".trs"),
)


def class_files(folder: Path, suffixes: tuple[str, ...], kind: str, *, nested: bool = False) -> list[Path]:
    """Return the files of a folder that have one of the endings, in capitals or not, sorted by name.

    Hidden files, notes and what file managers make are passed over; beside images and recordings also texts and tables.
    Whatever else is there might be data that was meant to be used.

    Args:
        folder: Folder of the files.
        suffixes: Endings that are read, such as ".png".
        kind: "image", "recording" or "text", for messages.
        nested: Whether the files of folders within the folder belong to it, too. Links to folders are not followed,
            which could lead in a circle.

    Raises:
        DataError: the folder can't be read, or something else is in it; names it.
    """
    found: list[Path] = []
    for path in entries(folder):
        if path.suffix.lower() in suffixes:
            found.append(path)
        elif nested and is_folder(path) and not path.is_symlink():
            found += class_files(path, suffixes, kind, nested=True)
        elif is_folder(path):
            raise DataError(
                f"{path}: is a folder within {folder}, whose files alone are read; move the files up or the folder away"
            )
        else:
            _check_passed_over(path, suffixes, kind)
    return found


def class_folders(folder: Path, suffixes: tuple[str, ...], kind: str) -> list[Path]:
    """Return the subfolders of a folder, one for each class, sorted by name.

    Raises:
        DataError: the folder can't be read, or something that might be data lies beside the subfolders; names it.
    """
    everything = entries(folder)
    found = [path for path in everything if is_folder(path)]
    for path in everything if found else ():
        if path in found:
            continue
        if path.suffix.lower() in suffixes:
            raise DataError(
                f"{path}: this {kind} lies in no class folder; move it into one, {folder}/<class>/"
            )
        _check_passed_over(path, suffixes, kind)
    return found


def _check_passed_over(path: Path, suffixes: tuple[str, ...], kind: str) -> None:
    passed_over = _NOTES if kind == "text" else _NOTES + _TABLES
    if not (path.suffix.lower() in passed_over or path.name.lower() in _MADE_BY_SYSTEMS + _DESCRIPTIONS):
        raise DataError(
            f"{path}: is not a supported {kind} ({' '.join(suffixes)}); convert it, or move it out of the "
            "folder"
        )

"""An extension of griffe, with which mkdocstrings reads the package, for two habits of this project.

Docstrings have Sphinx's roles and directives, and the site shows Markdown. A role such as ``:func:`` becomes a link to
what the site documents under that name, ``:math:`` and ``.. math::`` become ``$…$`` and ``$$…$$``, a table of ``====``
becomes one of Markdown, and two arguments that share a description get it each.

A function stands in a file of its name, and its package exports it. griffe has one place for both and keeps the file;
Python and the site's readers mean the function.
"""

import re
from collections.abc import Callable, Iterator
from typing import Any

from griffe import Alias, Extension, Module, NameResolutionError, Object

#: Of a name as it stands in a role, the path of the object, such as ``normwise.nn.batch_norm.BatchNorm1d``.
Resolve = Callable[[str], str]

_ROLE = re.compile(r":(?:class|func|meth|mod|attr|data|exc):`(?P<short>~?)(?P<name>[^`]+)`")
_MATH = re.compile(r":math:`([^`]+)`")
_DIRECTIVE = re.compile(r"^(?P<indent> *)\.\. math::\n\s*\n(?P<body>(?:(?P=indent) +[^\n]*\n?|\s*\n)+)", re.M)
_TABLE = re.compile(r"^(?P<indent> *)=+(?:  +=+)+\n(?P<body>(?:[^\n]+\n)+)", re.M)
_RULE = re.compile(r"=+(?:  +=+)+")
_LITERAL = re.compile(
    r"^(?P<indent> *)(?P<lead>[^\n]*?)::\n\s*\n(?P<body>(?:(?P=indent) +[^\n]*\n?|\s*\n)+)", re.M
)
_SHARED = re.compile(r"^(?P<indent> {4})(?P<names>\w+(?:, \w+)+): (?P<text>[^\n]*\n(?: {5,}[^\n]*\n)*)", re.M)
_ADDRESS = re.compile(r"(?<![<(`\w])https?://[^\s<>`]*[^\s<>`.,;:)]")


class NormwiseDocstrings(Extension):
    """Rewrites all docstrings of a package, and lets its public names mean what they mean in Python."""

    def on_package(self, *, pkg: Module, **kwargs: Any) -> None:
        """Change a package that was loaded as a whole."""
        objects = list(_objects(pkg))
        for obj in objects:
            if obj.docstring is not None:
                text = obj.docstring.value
                obj.docstring.value = to_markdown(text, lambda name, obj=obj: _path_of(name, obj))
        # All are found before the first is replaced, which hides what is in its file.
        hidden = [(obj, name, found) for obj in objects for name, found in _hidden(obj)]
        for module, name, found in hidden:
            module.set_member(name, Alias(name, found, parent=module))


def _objects(obj: Object) -> Iterator[Object]:
    """Yield an object and all that are defined in it."""
    yield obj
    for member in obj.members.values():
        if not member.is_alias:
            yield from _objects(member)


def _hidden(obj: Object) -> Iterator[tuple[str, Object]]:
    """Yield the objects that a package imports from files of their names, with these names."""
    for name, path in obj.imports.items() if obj.is_module else ():
        member = obj.members.get(name)
        if member is not None and not member.is_alias and member.is_module and path != member.path:
            yield name, obj.modules_collection[path]


def to_markdown(text: str, resolve: Resolve) -> str:
    """Return a docstring in Markdown.

    Args:
        text: The docstring, without its indentation.
        resolve: Gives the path of an object by its name.
    """
    text = _DIRECTIVE.sub(_display, f"{text}\n")
    text = _TABLE.sub(_table, text)
    text = _LITERAL.sub(_fenced, text)
    text = re.sub(r"^Example:$", "Examples:", text, flags=re.M)
    text = _SHARED.sub(_apart, text)
    text = _MATH.sub(r"$\1$", text)
    text = _ADDRESS.sub(r"<\g<0>>", text)
    return _ROLE.sub(lambda role: _link(role, resolve), text).rstrip()


def _path_of(name: str, obj: Object) -> str:
    """Return the path of a name as it is seen from an object: in its class, its module, or as it stands."""
    at: Object | None = obj
    while at is not None:
        if name in at.members:
            return at.members[name].path
        at = at.parent if at.is_class or not at.is_module else None
    first, dot, rest = name.partition(".")
    try:
        return f"{obj.resolve(first)}{dot}{rest}"
    except NameResolutionError:
        return name


def _link(role: re.Match[str], resolve: Resolve) -> str:
    """Return a link that is plain code where the site does not document the object."""
    name = role["name"]
    shown = name.rpartition(".")[2] if role["short"] else name
    return f'<autoref identifier="{resolve(name)}" optional>`{shown}`</autoref>'


def _display(found: re.Match[str]) -> str:
    indent = found["indent"]
    lines = "\n".join(
        f"{indent}{line.strip()}" for line in found["body"].strip().splitlines() if line.strip()
    )
    return f"{indent}$$\n{lines}\n{indent}$$\n\n"


def _apart(found: re.Match[str]) -> str:
    return "".join(f"{found['indent']}{name}: {found['text']}" for name in found["names"].split(", "))


def _fenced(found: re.Match[str]) -> str:
    indent = found["indent"]
    body = found["body"].rstrip().splitlines()
    margin = min(len(line) - len(line.lstrip()) for line in body if line.strip())
    lines = "\n".join(f"{indent}{line[margin:]}" for line in body)
    lead = f"{indent}{found['lead']}:\n\n" if found["lead"] else ""
    return f"{lead}{indent}```text\n{lines}\n{indent}```\n\n"


def _table(found: re.Match[str]) -> str:
    indent = found["indent"]
    rows = [line for line in found["body"].splitlines() if not _RULE.fullmatch(line.strip())]
    cells = [re.split(r"  +", row.strip(), maxsplit=_columns(found[0]) - 1) for row in rows]
    head, *others = (f"{indent}| {' | '.join(row)} |" for row in cells)
    rule = f"{indent}|{' --- |' * _columns(found[0])}"
    return "\n".join([head, rule, *others, ""])


def _columns(table: str) -> int:
    return len(table.splitlines()[0].split())

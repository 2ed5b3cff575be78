"""Code of a rule's sick or healthy model as a script that runs by itself."""

import ast
import inspect
import subprocess
import sys
from pathlib import Path

from normwise.doctor import Rule

_OF_FILES = "from normwise.doctor import Facts, examine, rules_named"
_OF_PROCESSES = "from normwise.doctor import Case, examine, rules_named"


def script_of(rule: Rule, *, sick: bool) -> str:
    """Return imports, what it uses of its module, the body of the method, and a call of the doctor at its end."""
    text = rule.text()
    body = text.sick if sick else text.healthy
    module = sys.modules[type(rule).__module__]
    shown = _with_call(body, rule.code)
    imports, definitions = _used(inspect.getsource(module), shown)
    needed = "import normwise" if "normwise.diagnose(" in shown else _OF_FILES
    if "processes" in rule.needs:
        needed = _OF_PROCESSES
    there = [line for line in imports if line.split()[-1] not in needed.split(" import ")[-1].split(", ")]
    imports = sorted({*there, needed}, key=lambda line: (line.startswith("from"), line))
    # What a method imports for itself may be among them.
    own = "\n".join(line for line in shown.splitlines() if line not in imports).strip()
    return _formatted("\n\n".join(["\n".join(imports), *definitions, own]))


def _formatted(code: str) -> str:
    """Return code as `ruff format` writes it, which looks into pages, too."""
    command = [sys.executable, "-m", "ruff", "format", "--stdin-filename", "case.py", "-"]
    root = Path(__file__).parents[2]
    return subprocess.run(command, cwd=root, input=code, capture_output=True, text=True, check=True).stdout


def _with_call(body: str, code: str) -> str:
    """Replace the case that is returned at the end by a call of the doctor."""
    tree = ast.parse(f"def case():\n{_indented(body)}")
    function = tree.body[0]
    if not isinstance(function, ast.FunctionDef):
        raise TypeError(f"{code}: expected the body of a function")
    last = function.body[-1]
    if not isinstance(last, ast.Return) or not isinstance(last.value, ast.Call):
        raise TypeError(f"{code}: a case must end in `return Case(...)`")
    kept = body.splitlines()[: last.lineno - 2]
    return "\n".join([*kept, f"print({_call_of(last.value, code)})"]).strip()


def _call_of(call: ast.Call, code: str) -> str:
    if ast.unparse(call.func) == "FileCase":
        return f'examine(Facts.of_onnx({ast.unparse(call.args[0])}), rules_named(["{code}"]))'
    if any(word.arg == "ranks" for word in call.keywords):
        # One process shows what several have; they would call normwise.diagnose with a process_group.
        return f'examine({ast.unparse(call)}.facts(), rules_named(["{code}"]))'
    names = ("model", "data", "loss", "optimizer")
    arguments = {name: ast.unparse(value) for name, value in zip(names, call.args, strict=False)}
    arguments |= {word.arg or "": ast.unparse(word.value) for word in call.keywords}
    given = [value if name in names[:2] else f"{name}={value}" for name, value in arguments.items()]
    if "data" not in arguments and len(given) > 1:
        given.insert(1, "None")
    return f'normwise.diagnose({", ".join(given)}, select=["{code}"])'


def _used(source: str, shown: str) -> tuple[list[str], list[str]]:
    """Return the imports and the definitions of a module that some code uses, directly or not."""
    tree = ast.parse(source)
    defined: dict[str, ast.stmt] = {}
    imported: dict[str, str] = {}
    for node in tree.body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            defined[node.name] = node
        elif isinstance(node, (ast.Assign, ast.AnnAssign)):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            defined |= {target.id: node for target in targets if isinstance(target, ast.Name)}
        elif isinstance(node, ast.Import):
            imported |= {alias.asname or alias.name: f"import {_alias(alias)}" for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names = {alias.asname or alias.name: alias for alias in node.names}
            imported |= {name: f"from {node.module} import {_alias(alias)}" for name, alias in names.items()}
    wanted, kept = _names(ast.parse(shown)), dict[str, ast.stmt]()
    while new := [name for name in defined if name in wanted and name not in kept]:
        kept |= {name: defined[name] for name in new}
        wanted |= {name for one in new for name in _names(defined[one])}
    statements = sorted(set(kept.values()), key=lambda node: node.lineno)
    definitions = [segment for node in statements if (segment := ast.get_source_segment(source, node))]
    return [line for name, line in imported.items() if name in wanted], definitions


def _names(tree: ast.AST) -> set[str]:
    return {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}


def _alias(alias: ast.alias) -> str:
    return f"{alias.name} as {alias.asname}" if alias.asname else alias.name


def _indented(body: str) -> str:
    return "\n".join(f"    {line}" for line in body.splitlines())

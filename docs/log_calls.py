"""Finds the log calls in the source of both services: event, level and fields."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_LOGGERS = frozenset({"log", "logger", "self._logger"})
_METHODS = frozenset({"debug", "info", "warning", "error", "exception", "critical", "log"})


@dataclass(frozen=True, slots=True)
class LogCall:
    """A log call: the text of its event, or the expression where it is no literal.

    `level` is empty where it is decided at run time. `fields` are the keys of `extra`; `open_ended` means that `extra`
    has others, which only a run can show.
    """

    module: str
    event: str
    level: str
    fields: frozenset[str]
    open_ended: bool


def calls_in(package: Path) -> Iterator[LogCall]:
    """Yield the log calls of a package, in the order of its files."""
    for path in sorted(package.rglob("*.py")):
        module = ".".join((package.name, *path.relative_to(package).with_suffix("").parts))
        yield from _calls(module, ast.parse(path.read_text()), {})


def _calls(module: str, node: ast.AST, variables: dict[str, ast.expr]) -> Iterator[LogCall]:
    """Walk a tree; `variables` are the values that the enclosing functions assign."""
    if isinstance(node, ast.FunctionDef):
        assigned = (inner for inner in ast.walk(node) if isinstance(inner, ast.Assign | ast.AnnAssign) and inner.value)
        variables = variables | {
            target.id: assign.value
            for assign in assigned
            for target in (assign.targets if isinstance(assign, ast.Assign) else [assign.target])
            if isinstance(target, ast.Name) and assign.value
        }
    if isinstance(node, ast.Call) and (call := _log_call(module, node, variables)):
        yield call
    for child in ast.iter_child_nodes(node):
        yield from _calls(module, child, variables)


def _log_call(module: str, call: ast.Call, variables: dict[str, ast.expr]) -> LogCall | None:
    function = call.func
    if not isinstance(function, ast.Attribute) or function.attr not in _METHODS:
        return None
    if ast.unparse(function.value) not in _LOGGERS:
        return None
    dynamic = function.attr == "log"
    event = call.args[1 if dynamic else 0]
    level = "" if dynamic else "ERROR" if function.attr == "exception" else function.attr.upper()
    extra = next((keyword.value for keyword in call.keywords if keyword.arg == "extra"), None)
    fields, open_ended = _fields(extra, variables) if extra else (set[str](), False)
    if function.attr == "exception" or any(keyword.arg == "exc_info" for keyword in call.keywords):
        fields.add("exception")
    text = event.value if isinstance(event, ast.Constant) else ast.unparse(event)
    return LogCall(module, str(text), level, frozenset(fields), open_ended)


def _fields(node: ast.expr, variables: dict[str, ast.expr]) -> tuple[set[str], bool]:
    """Return the keys of an expression that is a dictionary, and whether it may have others."""
    if isinstance(node, ast.Name) and node.id in variables:
        return _fields(variables[node.id], {name: value for name, value in variables.items() if name != node.id})
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
        parts = [_fields(side, variables) for side in (node.left, node.right)]
    elif isinstance(node, ast.Dict):
        named = {str(key.value) for key in node.keys if isinstance(key, ast.Constant)}
        inner = [value for key, value in zip(node.keys, node.values, strict=True) if key is None]
        parts = [(named, False), *(_fields(value, variables) for value in inner)]
    else:
        return set(), True
    return set().union(*(keys for keys, _ in parts)), any(more for _, more in parts)

"""The package's source files as syntax trees, for the tests of its conventions."""

import ast
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LIB = ROOT / "lib" / "trackpools"


def relative(path):
    return path.relative_to(LIB).as_posix()


SOURCES = {
    relative(path): ast.parse(path.read_text(encoding="utf-8"), str(path))
    for path in sorted(LIB.rglob("*.py"))
}


def public_definitions(tree):
    """Yield every public class and function of a module and of its classes."""
    for node in tree.body:
        if isinstance(
            node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
        ) and not node.name.startswith("_"):
            yield node
            if isinstance(node, ast.ClassDef):
                yield from (
                    one
                    for one in node.body
                    if isinstance(one, ast.FunctionDef) and not one.name.startswith("_")
                )

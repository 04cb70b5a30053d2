"""Convert Python code to a text of what it computes; the code hash is computed from such texts.

The text leaves out what does not change a result: imports, docstrings, comments, annotations, the arguments
of raised exceptions, the messages of assertions, and calls of loggers and of `warnings`. A name that the
module imports or defines is written as a reference to the definition, so that neither an alias nor a file
name is part of the text. Python 3.11, 3.12 and 3.13 give the same text. This module uses only the standard
library.
"""

import ast
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

LEFT_OUT = {"annotation", "returns", "type_comment", "type_params", "kind", "ctx"}  # fields of AST nodes
LOGGERS = {"log", "logger", "logging", "warnings"}
LOG_CALLS = {"debug", "info", "warning", "warn", "error", "exception", "critical", "log"}
# nodes that have a scope of their own
SCOPES = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda | ast.ClassDef
# nodes that may bind a name
BINDING = (
    ast.Name,
    ast.FunctionDef,
    ast.AsyncFunctionDef,
    ast.ClassDef,
    ast.ExceptHandler,
    ast.MatchAs,
    ast.MatchStar,
    ast.MatchMapping,
    ast.Import,
    ast.ImportFrom,
    ast.Global,
)
COMPREHENSIONS = ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp


@dataclass(frozen=True)
class Reference:
    """What a name stands for, as a dotted path such as `numpy.sum` or `trackpools.tables.PLAYS.name`."""

    path: str


@dataclass(frozen=True)
class SyntaxText:
    """The normalised text of some statements.

    Attributes:
        parts: pieces of text and, between them, references.
        attributes: the names of all attributes that the statements use.
    """

    parts: list[str | Reference]
    attributes: set[str]


@dataclass(frozen=True)
class BoundNames:
    """The names that one scope binds, without the scopes inside it.

    Attributes:
        names: the names of variables, functions and classes.
        imports: name that an import binds → dotted path.
        declared_global: names in `global` statements.
    """

    names: frozenset[str]
    imports: Mapping[str, str]
    declared_global: frozenset[str]


@dataclass(frozen=True)
class NameScope:
    """How names resolve at one place in the code.

    Attributes:
        bindings: name → dotted path of what is imported or defined around this place.
        hidden: local names; a binding of the same name does not apply here.
        hidden_inside: the hidden names that also hold inside functions defined here. These are all but the
            names of a class body, which its functions do not see.
        is_class: whether this is the body of a class, where an annotation declares a field.
    """

    bindings: Mapping[str, str]
    hidden: frozenset[str] = frozenset()
    hidden_inside: frozenset[str] = frozenset()
    is_class: bool = False

    def function(self, parameters: Iterable[str], body: Iterable[ast.AST]) -> "NameScope":
        """Return the scope inside a function or a comprehension."""
        own = bound(body)
        names = self.hidden_inside | own.names | frozenset(parameters)
        hidden = names - own.declared_global - own.imports.keys()
        return NameScope({**self.bindings, **own.imports}, hidden, hidden)

    def class_body(self, body: Iterable[ast.AST]) -> "NameScope":
        """Return the scope of the statements in the body of a class."""
        own = bound(body)
        hidden = (self.hidden_inside | own.names) - own.imports.keys()
        return NameScope({**self.bindings, **own.imports}, hidden, self.hidden_inside, is_class=True)


def text_of(statements: Iterable[ast.stmt], bindings: Mapping[str, str]) -> SyntaxText:
    """Return the normalised text of statements at the top level of a module.

    Args:
        statements: the statements.
        bindings: name → dotted path of everything that the module imports or defines.
    """
    writer = _Writer()
    for statement in computing_statements(statements):
        writer.write(statement, NameScope(bindings))
    return SyntaxText(writer.parts, writer.attributes)


def computing_statements(statements: Iterable[ast.stmt]) -> Iterator[ast.stmt]:
    """Yield the statements that can change a result, and leave out all others."""
    for one in statements:
        match one:
            case ast.Import() | ast.ImportFrom() | ast.Pass() | ast.Expr(value=ast.Constant()):
                continue
            case ast.If(test=test) if _last_name(test) == "TYPE_CHECKING":
                continue
            case ast.If(test=ast.Compare(left=ast.Name(id="__name__"))):
                continue
            case ast.Expr(value=ast.Call(func=ast.Attribute(value=logger, attr=call))) if call in LOG_CALLS:
                if _last_name(logger).lower().strip("_") in LOGGERS:
                    continue
        yield one


def bound(nodes: Iterable[ast.AST]) -> BoundNames:
    """Return the names that these nodes bind in their own scope."""
    names: set[str] = set()
    imports: dict[str, str] = {}
    declared_global: set[str] = set()
    for node in _of_one_scope(nodes):
        if not isinstance(node, BINDING):
            continue
        match node:
            case ast.Name(id=name, ctx=ast.Store() | ast.Del()):
                names.add(name)
            case (
                ast.FunctionDef(name=name)
                | ast.AsyncFunctionDef(name=name)
                | ast.ClassDef(name=name)
                | ast.ExceptHandler(name=str(name))
                | ast.MatchAs(name=str(name))
                | ast.MatchStar(name=str(name))
                | ast.MatchMapping(rest=str(name))
            ):
                names.add(name)
            case ast.Import(names=aliases):
                imports |= dict(_imported(one) for one in aliases)
            case ast.ImportFrom(module=module, names=aliases):
                imports |= {one.asname or one.name: f"{module}.{one.name}" for one in aliases}
            case ast.Global(names=given):
                declared_global |= set(given)
    return BoundNames(frozenset(names), imports, frozenset(declared_global))


def _imported(module: ast.alias) -> tuple[str, str]:
    """Return the name that an import binds, and its dotted path.

    `import a.b` binds `a` to `a`, and `import a.b as c` binds `c` to `a.b`.
    """
    first = module.name.partition(".")[0]
    return (module.asname, module.name) if module.asname else (first, first)


def _of_one_scope(nodes: Iterable[ast.AST]) -> Iterator[ast.AST]:
    """Yield the nodes and all nodes below them that belong to the same scope.

    Inside a comprehension, only names that `:=` assigns are yielded, because they belong to the scope around
    it.
    """
    waiting = list(nodes)
    while waiting:
        node = waiting.pop()
        yield node
        if isinstance(node, COMPREHENSIONS):
            waiting.extend(one.target for one in ast.walk(node) if isinstance(one, ast.NamedExpr))
        elif not isinstance(node, SCOPES):
            waiting.extend(ast.iter_child_nodes(node))


def _last_name(node: ast.expr) -> str:
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def _path(node: ast.expr, scope: NameScope) -> str | None:
    """Return the dotted path of a name or attribute, or None if no import or definition binds it."""
    if isinstance(node, ast.Name):
        return None if node.id in scope.hidden else scope.bindings.get(node.id)
    if isinstance(node, ast.Attribute):
        base = _path(node.value, scope)
        return base and f"{base}.{node.attr}"
    return None


class _Writer:
    """The pieces of a normalised text and the attributes used in it, collected node by node."""

    def __init__(self) -> None:
        self.parts: list[str | Reference] = []
        self.attributes: set[str] = set()

    def write(self, node: ast.AST, scope: NameScope) -> None:
        if isinstance(node, ast.AnnAssign) and node.value is not None and not scope.is_class:
            node = ast.Assign(targets=[node.target], value=node.value)
        if isinstance(node, ast.Attribute):
            self.attributes.add(node.attr)
        if isinstance(node, ast.expr) and (path := _path(node, scope)) is not None:
            self.parts.append(Reference(path))
            return
        self.parts.append(f"({type(node).__name__}")
        match node:
            case ast.Lambda(args=args, body=body):
                self._function(node, args, [body], scope)
            case (
                ast.FunctionDef(args=args, body=statements) | ast.AsyncFunctionDef(args=args, body=statements)
            ):
                self._function(node, args, statements, scope)
            case ast.ClassDef(body=statements):
                self._fields(node, scope, without="body")
                self._field("body", statements, scope.class_body(statements))
            case ast.ListComp() | ast.SetComp() | ast.DictComp() | ast.GeneratorExp():
                self._comprehension(node, scope)
            case ast.Raise(exc=error):
                self._field("exc", error.func if isinstance(error, ast.Call) else error, scope)
            case ast.Assert(test=test):
                self._field("test", test, scope)
            case _:
                self._fields(node, scope)
        self.parts.append(")")

    def _fields(self, node: ast.AST, scope: NameScope, without: str = "") -> None:
        for name, value in ast.iter_fields(node):
            if name not in LEFT_OUT and name != without:
                self._field(name, value, scope)

    def _field(self, name: str, value: object, scope: NameScope) -> None:
        values: list[Any] = value if isinstance(value, list) else [value]
        if values and isinstance(values[0], ast.stmt):
            values = [
                one for one in computing_statements(values) if scope.is_class or not _declares_only(one)
            ]
        if value is None or not values:
            return
        self.parts.append(f" {name}=")
        for one in values:
            if isinstance(one, ast.AST):
                self.write(one, scope)
            else:
                self.parts.append(f" {one!r}")

    def _function(
        self, node: ast.AST, args: ast.arguments, body: Sequence[ast.AST], scope: NameScope
    ) -> None:
        self._fields(node, scope, without="body")
        given = [*args.posonlyargs, *args.args, args.vararg, *args.kwonlyargs, args.kwarg]
        self._field("body", list(body), scope.function([one.arg for one in given if one is not None], body))

    def _comprehension(
        self, node: ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp, scope: NameScope
    ) -> None:
        inside = scope.function((), [one.target for one in node.generators])
        self._fields(node, inside, without="generators")
        for one in node.generators:
            self._field("iter", one.iter, scope if one is node.generators[0] else inside)
            self._fields(one, inside, without="iter")


def _declares_only(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.AnnAssign) and statement.value is None

"""Find the code that a function reaches, and hash what that code computes.

Code is read as *definitions*: the functions, classes and assignments at the top level of modules. A
definition reaches the definitions that it names, also through an import inside a function, and everything
that those reach. Three things are reached without being named:

- Statements at the top level of a module that define nothing are reached with every definition of that
  module.
- If a definition uses `pkgutil.iter_modules`, it reaches, in each module of its package, the definitions
  whose names its own module uses as attributes, such as `SOURCE` in `module.SOURCE`.
- A public method of a configuration class is reached by every definition that uses an attribute of the same
  name, because code receives the configuration as an argument.

Annotations are not followed. So the class of an argument is not reached unless the code names it elsewhere,
and its methods must then not influence results. This module uses only the standard library, because every
version of Python must give the same hash.
"""

import ast
import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib.resources.abc import Traversable

from trackpools.paths import python_files
from trackpools.shell.identity.normalised_syntax import (
    Reference,
    SyntaxText,
    bound,
    computing_statements,
    text_of,
)

Definition = tuple[str, str]  # module and name
UNNAMED = ""  # stands for the name of statements that define nothing
DEFINING = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Assign | ast.AnnAssign | ast.AugAssign
LISTING = "pkgutil.iter_modules"  # a package that uses it reaches its modules, see above
CONFIGURATION = "config"  # prefix of the modules with configuration classes, inside the package


@dataclass(frozen=True)
class ParsedModule:
    """One parsed module.

    Attributes:
        name: dotted name of the module.
        tree: its syntax tree.
        definitions: name → the statements that define it. A method occurs twice: in its class and as
            `Class.method`.
        imports: name that an import binds → dotted path.
    """

    name: str
    tree: ast.Module
    definitions: Mapping[str, list[ast.stmt]]
    imports: Mapping[str, str]

    @classmethod
    def of(cls, name: str, source: bytes) -> "ParsedModule":
        """Parse the source of a module."""
        tree = ast.parse(source)
        definitions: dict[str, list[ast.stmt]] = {}
        for statement in computing_statements(tree.body):
            names = bound([statement]).names
            for one in names if names and isinstance(statement, DEFINING) else {*names, UNNAMED}:
                definitions.setdefault(one, []).append(statement)
            if isinstance(statement, ast.ClassDef):
                methods = (one for one in statement.body if isinstance(one, ast.FunctionDef))
                definitions |= {f"{statement.name}.{one.name}": [one] for one in methods}
        return cls(name, tree, definitions, bound(tree.body).imports)

    @cached_property
    def bindings(self) -> dict[str, str]:
        """Name → dotted path, of everything that the module imports or defines."""
        return {**self.imports, **{name: f"{self.name}.{name}" for name in self.definitions}}

    @cached_property
    def attributes(self) -> set[str]:
        """The name of every attribute that the module uses."""
        return {node.attr for node in ast.walk(self.tree) if isinstance(node, ast.Attribute)}

    @property
    def all(self) -> list[Definition]:
        """All definitions of the module."""
        return [(self.name, name) for name in self.definitions]


class PackageCode:
    """The code of a package, in a folder or in a zip; modules are parsed when they are first reached.

    Args:
        package: the folder of the package.
    """

    def __init__(self, package: Traversable) -> None:
        self._root = package.name
        self._sources = {
            _module_name(package.name, path): file.read_bytes() for path, file in python_files(package)
        }
        self._modules: dict[str, ParsedModule] = {}
        self._texts: dict[Definition, SyntaxText] = {}
        self._digests: dict[Definition, str] = {}

    def hash_of(self, entries: Iterable[Definition]) -> str:
        """Hash all code that the entries reach; moving code to another module does not change the hash.

        Args:
            entries: module and name of each definition to start from.

        Returns:
            16 hexadecimal digits.

        Raises:
            LookupError: if an entry is not in the package.
        """
        return _digest(sorted({self._deep_digest(one) for one in self.reached(entries)}))[:16]

    def reached(self, entries: Iterable[Definition]) -> set[Definition]:
        """Return the definitions that the entries reach, including the entries.

        Raises:
            LookupError: if an entry is not in the package.
        """
        waiting = list(entries)
        for module, name in waiting:
            if module not in self._sources or name not in self._module(module).definitions:
                raise LookupError(
                    f"{module}.{name} is not in the .py files of {self._root}; the code hash is computed from these files"
                )
        reached: set[Definition] = set()
        while waiting:
            one = waiting.pop()
            if one not in reached:
                reached.add(one)
                waiting.extend(self._next(one))
        return reached

    def _next(self, one: Definition) -> Iterator[Definition]:
        """Yield the definitions that one definition reaches directly."""
        module, text = self._module(one[0]), self._text(one)
        for part in text.parts:
            if isinstance(part, Reference):
                yield from self._resolved(part.path)[0]
                if part.path == LISTING:
                    yield from self._listed(module)
        if UNNAMED in module.definitions:
            yield module.name, UNNAMED
        for attribute in text.attributes & self._configuration.keys():
            yield from self._configuration[attribute]

    def _listed(self, package: ParsedModule) -> Iterator[Definition]:
        """Yield the definitions in each module of a package whose names the package uses as attributes."""
        for name in self._sources:
            if name.rpartition(".")[0] == package.name:
                yield from (one for one in self._module(name).all if one[1] in package.attributes)

    @cached_property
    def _configuration(self) -> dict[str, list[Definition]]:
        """Name → the methods of configuration classes with this name.

        Private methods are left out; the validators have private names.
        """
        methods: dict[str, list[Definition]] = {}
        for name in self._sources:
            if name.startswith(f"{self._root}.{CONFIGURATION}"):
                for one in self._module(name).all:
                    _, dot, method = one[1].partition(".")
                    if dot and not method.startswith("_"):
                        methods.setdefault(method, []).append(one)
        return methods

    def _module(self, name: str) -> ParsedModule:
        if name not in self._modules:
            self._modules[name] = ParsedModule.of(name, self._sources[name])
        return self._modules[name]

    def _text(self, one: Definition) -> SyntaxText:
        if one not in self._texts:
            module = self._module(one[0])
            self._texts[one] = text_of(module.definitions[one[1]], module.bindings)
        return self._texts[one]

    def _resolved(self, path: str) -> tuple[list[Definition], str]:
        """Resolve a dotted path.

        Returns:
            The definitions that the path stands for, and the path without its module. A path into another
            package has no definitions and stays whole.
        """
        if path.partition(".")[0] != self._root:
            return [], path
        module, rest = path, ""
        while module not in self._sources:
            module, _, name = module.rpartition(".")
            rest = f"{name}.{rest}" if rest else name
        found, (first, dot, more) = self._module(module), rest.partition(".")
        if first in found.definitions:
            return [(module, first)], rest
        if first in found.imports:
            return self._resolved(found.imports[first] + dot + more)
        return found.all, rest  # the module as a value, or a name that only exists at run time

    def _digest_of(self, one: Definition) -> str:
        """Return the digest of the text of one definition, in which other definitions occur only by name."""
        if one not in self._digests:
            self._digests[one] = _digest(
                part if isinstance(part, str) else self._resolved(part.path)[1]
                for part in self._text(one).parts
            )
        return self._digests[one]

    def _deep_digest(self, one: Definition) -> str:
        """Return the digest of a definition together with the digests of the definitions that it names.

        Names alone are not enough, because two modules may each define something with the same name.
        """
        written: list[str] = []
        for part in self._text(one).parts:
            if isinstance(part, str):
                written.append(part)
            else:
                meant, name = self._resolved(part.path)
                written += [name, *sorted(self._digest_of(target) for target in meant)]
        return _digest(written)


def _digest(parts: Iterable[str]) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def _module_name(package: str, path: str) -> str:
    """Return the dotted name of the module at a path below the package."""
    return f"{package}/{path}".removesuffix(".py").removesuffix("/__init__").replace("/", ".")

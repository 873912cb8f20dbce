"""Functions and classes of a package, and what the names in its files mean."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass

from code_figures.source import Code, Function, FunctionNode, SourceFile, list_functions, list_parameters


@dataclass(frozen=True, eq=False)
class ClassDefinition:
    """A class at the top of a module, with its methods by name.

    `fields` are the annotated names of its body in their order, which are the parameters of a dataclass.
    """

    file: SourceFile
    name: str
    methods: dict[str, Function]
    fields: dict[str, ast.expr]

    @property
    def key(self) -> str:
        """The dotted name, which is unique."""
        return f"{self.file.module}.{self.name}"


Definition = Function | ClassDefinition | str  # a text is the dotted name of a module


class Definitions:
    """Find functions and classes by the names that a file has for them."""

    def __init__(self, code: Code) -> None:
        self.modules = {file.module: file for file in code.files}
        functions = list_functions(code.files)
        self.functions = {(f.file.path, f.node.name): f for f in functions if not f.owners}
        methods = [f for f in functions if len(f.owners) == 1 and not f.nested]
        self.classes: dict[str, ClassDefinition] = {}
        self._names: dict[str, dict[str, Definition]] = {}
        for file in code.files:
            self._add_classes(file, [method for method in methods if method.file is file])

    def _add_classes(self, file: SourceFile, methods: list[Function]) -> None:
        for node in file.tree.body:
            if not isinstance(node, ast.ClassDef):
                continue
            own = {method.node.name: method for method in methods if method.owners == (node.name,)}
            fields = {
                item.target.id: item.annotation
                for item in node.body
                if isinstance(item, ast.AnnAssign) and isinstance(item.target, ast.Name)
            }
            definition = ClassDefinition(file, node.name, own, fields)
            self.classes[definition.key] = definition

    def find(self, file: SourceFile, name: str) -> Definition | None:
        """Return what a name means in a file, wherever the file imports it."""
        if file.path not in self._names:
            self._names[file.path] = dict(self._list_names(file))
        return self._names[file.path].get(name)

    def find_in_module(self, module: str, name: str) -> Definition | None:
        """Return what `module.name` is: a module, or a function or class that the module defines or imports."""
        dotted = f"{module}.{name}"
        if dotted in self.modules:
            return dotted
        file = self.modules.get(module)
        if file is None:
            return None
        own = self.functions.get((file.path, name)) or self.classes.get(dotted)
        return own or self.find(file, name)

    def _list_names(self, file: SourceFile) -> Iterator[tuple[str, Definition]]:
        self._names[file.path] = {}  # ends the search where modules import from each other
        for node in file.nodes:
            if isinstance(node, ast.ImportFrom) and node.module:
                for alias in node.names:
                    definition = self.find_in_module(node.module, alias.name)
                    if definition is not None:
                        yield alias.asname or alias.name, definition
            elif isinstance(node, ast.Import):
                named = [(alias.asname, alias.name) for alias in node.names if alias.asname]
                yield from ((name, module) for name, module in named if module in self.modules)
        for (path, name), function in self.functions.items():
            if path == file.path:
                yield name, function
        yield from ((item.name, item) for item in self.classes.values() if item.file is file)

    def list_classes(self, file: SourceFile, annotation: ast.expr | None) -> set[str]:
        """Return the keys of the package's classes that an annotation names, at any depth."""
        nodes = ast.walk(annotation) if annotation is not None else ()
        named = [self.find_expression(file, node) for node in nodes if isinstance(node, ast.Name | ast.Attribute)]
        return {definition.key for definition in named if isinstance(definition, ClassDefinition)}

    def find_expression(self, file: SourceFile, node: ast.expr) -> Definition | None:
        """Return what `name` or `module.name` means in a file."""
        if isinstance(node, ast.Name):
            return self.find(file, node.id)
        if isinstance(node, ast.Attribute):
            owner = self.find_expression(file, node.value)
            return self.find_in_module(owner, node.attr) if isinstance(owner, str) else None
        return None


def bind_arguments(call: ast.Call, names: list[str], variadic: str = "") -> Iterator[tuple[str, ast.expr]]:
    """Yield the parameter and expression of each argument of a call.

    Args:
        call: The call.
        names: The parameters by position, without `self`.
        variadic: The name of `*args`, which takes the positional arguments that are left; "" where there is none.
    """
    for index, argument in enumerate(call.args):
        name = names[index] if index < len(names) else variadic
        if name:
            yield name, argument.value if isinstance(argument, ast.Starred) else argument
    yield from ((keyword.arg, keyword.value) for keyword in call.keywords if keyword.arg)


def positional_names(function: FunctionNode, bound: bool) -> list[str]:
    """Return the names of the parameters by position, without the first of a bound method."""
    arguments = [*function.args.posonlyargs, *function.args.args]
    return [argument.arg for argument in arguments][1 if bound else 0 :]


def list_annotations(function: FunctionNode) -> Iterator[tuple[str, ast.expr]]:
    """Yield the name and annotation of each annotated parameter."""
    for parameter in list_parameters(function):
        if parameter.annotation is not None:
            yield parameter.arg, parameter.annotation

"""Follow a list of values from one function through the package, without running it.

The list is what the user typed after the command. A name holds it if it gets the list itself, a copy, a part or a
sum with other lists, or a list made of its elements, as they are or some of them changed. It gets them through
assignments, arguments, returns and fields of objects. Calls are followed where the function is known: by name, by
module, or by the class of an object that a constructor or an annotation names. A single element, a mapping and what
is composed from the list are not the list. Not followed: callbacks, inheritance, `append` and the like. A function
is read once for all its callers.
"""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterable

from code_figures.definitions import (
    ClassDefinition,
    Definitions,
    bind_arguments,
    list_annotations,
    positional_names,
)
from code_figures.figure import Figure, Group, make_count
from code_figures.source import Code, Function, FunctionNode, list_functions

# Facts of a name. The others are the keys of the classes that it may be of.
VALUE = "the list"
ELEMENT = "an element"
COPIES = frozenset({"list", "tuple", "set", "frozenset", "sorted", "reversed", "iter", "filter", "cast"})
Facts = frozenset[str]
NOTHING: Facts = frozenset()
Scope = tuple[str, str]  # the path of a file, and the name of a function with its class, or of a class
Holder = tuple[Scope, str]


def measure_value(code: Code) -> Group:
    """Count the files and names that hold the list, or an object that carries it, on the way from the entry.

    An object carries the list if a field of its class holds it or such an object. "Times back" counts, for each
    function that hands either to functions of other files, all of these functions but the last: a reader who follows
    a call must come back to follow the next. A method that is called gets its object.
    """
    name, entry = code.settings.followed, code.settings.entry
    title = f"Following {name} from {entry} (static)"
    entries = find_entries(code)
    if not entries:
        return Group(title, (Figure("value_files", f"no function {entry} reads .{name}", None, "-"),))
    flow = ValueFlow(code)
    flow.follow(entries)
    list_holders, holders = flow.list_holders(frozenset({VALUE})), flow.list_holders(flow.list_carriers())
    figures = (
        make_count("value_files", "files in which a name holds the list", _list_files(list_holders)),
        make_count("carrier_files", "  or an object that carries it", _list_files(holders)),
        make_count("value_names", "different names of the list", sorted({name for _, name in list_holders})),
        make_count("carrier_names", "  or of an object that carries it", sorted({name for _, name in holders})),
        measure_returns(flow),
    )
    return Group(title, figures)


def _list_files(holders: list[Holder]) -> list[str]:
    return sorted({path for (path, _), _ in holders})


def measure_returns(flow: ValueFlow) -> Figure:
    """Count how often a reader who follows the list or its carriers must come back to a caller in another file."""
    carriers = flow.list_carriers()
    branches: dict[Scope, int] = {}
    for caller, called in sorted(flow.passed.items()):
        branches[caller] = sum(bool(facts & carriers) for scope, facts in called.items() if scope[0] != caller[0])
    returns = [f"{path} {name}: {count - 1}" for (path, name), count in branches.items() if count > 1]
    total = sum(count - 1 for count in branches.values() if count > 1)
    return Figure("value_returns", "times back to a caller in another file", total, str(total), "", tuple(returns))


def find_entries(code: Code) -> list[Function]:
    """Return the functions that have the name of `--entry`, or are in a module of this name, and read the list.

    They read it as an attribute of a parameter, such as `options.overrides`. A dotted entry also names the module.
    """
    module, _, name = code.settings.entry.rpartition(".")
    candidates = [function for function in list_functions(code.files) if not function.owners]
    if module:
        candidates = [function for function in candidates if function.file.module == module]
    reading = [function for function in candidates if _reads_attribute(function.node, code.settings.followed)]
    named = [function for function in reading if name == function.node.name]
    return named or [function for function in reading if name == function.file.stem]


def _reads_attribute(function: FunctionNode, name: str) -> bool:
    attributes = [node for node in ast.walk(function) if isinstance(node, ast.Attribute) and node.attr == name]
    parameters = {argument.arg for argument in function.args.args}
    return any(isinstance(node.value, ast.Name) and node.value.id in parameters for node in attributes)


class ValueFlow:
    """The possible values of each name in the reached functions, searched until no value is added."""

    def __init__(self, code: Code) -> None:
        self.followed = code.settings.followed
        self.definitions = Definitions(code)
        self.facts: dict[Holder, Facts] = {}
        self.returned: dict[Scope, Facts] = {}
        self.reached: dict[Scope, Function] = {}
        self.entries: set[Scope] = set()
        # What each function hands to each function that it calls.
        self.passed: dict[Scope, dict[Scope, Facts]] = defaultdict(dict)
        self.changed = False

    def follow(self, entries: Iterable[Function]) -> None:
        """Read the entries, and every function that they reach."""
        for entry in entries:
            self.entries.add(self.reach(entry))
        self.changed = True
        while self.changed:
            self.changed = False
            for scope, function in list(self.reached.items()):
                FunctionReader(self, scope, function).read()

    def list_holders(self, wanted: Facts) -> list[Holder]:
        """Return the names that hold something of `wanted`, with their function or class; `self` is left out."""
        return [holder for holder, facts in self.facts.items() if facts & wanted and holder[1] != "self"]

    def list_carriers(self) -> Facts:
        """Return the list, and the keys of the classes that have it or a carrier of it in a field."""
        scopes = {self.class_scope(definition): key for key, definition in self.definitions.classes.items()}
        carriers, before = frozenset({VALUE}), NOTHING
        while carriers != before:
            before = carriers
            fields = [scope for (scope, _), facts in self.facts.items() if scope in scopes and facts & carriers]
            carriers |= {scopes[scope] for scope in fields}
        return carriers

    def reach(self, function: Function) -> Scope:
        """Add a function to those that are read, and return its scope."""
        scope = (function.file.path, ".".join((*function.owners, function.node.name)))
        if scope not in self.reached:
            self.reached[scope] = function
            self.changed = True
            for name, annotation in list_annotations(function.node):
                self.add(scope, name, frozenset(self.definitions.list_classes(function.file, annotation)))
            if function.owners:
                first = positional_names(function.node, False)[:1]
                classes = frozenset({f"{function.file.module}.{function.owners[0]}"})
                self.add(scope, first[0] if first else "", classes)
        return scope

    def add(self, scope: Scope, name: str, facts: Facts) -> None:
        """Note what a name may hold."""
        before = self.facts.get((scope, name), NOTHING)
        if not facts <= before:
            self.facts[scope, name] = before | facts
            self.changed = True

    def add_returned(self, scope: Scope, facts: Facts) -> None:
        """Note what a function may return."""
        before = self.returned.get(scope, NOTHING)
        if not facts <= before:
            self.returned[scope] = before | facts
            self.changed = True

    def class_scope(self, definition: ClassDefinition) -> Scope:
        """Return the scope of the fields of a class."""
        return definition.file.path, definition.name

    def list_objects(self, facts: Facts) -> list[ClassDefinition]:
        """Return the classes of which a value may be."""
        return [self.definitions.classes[key] for key in sorted(facts & self.definitions.classes.keys())]


def at_index(facts: Facts, index: int) -> Facts:
    """Return the facts of an item of a tuple; an object that may hold others has the same facts at every index."""
    plain = {fact for fact in facts if not fact.startswith("[")} - {VALUE}
    mark = f"[{index}]"
    return frozenset(plain | {fact.removeprefix(mark) for fact in facts if fact.startswith(mark)})


class FunctionReader:
    """Read one function: note what its names get, and what it hands to others. Functions inside it are part of it."""

    def __init__(self, flow: ValueFlow, scope: Scope, function: Function) -> None:
        self.flow = flow
        self.scope = scope
        self.file = function.file
        self.node = function.node

    def read(self) -> None:
        """Read the body once."""
        self.flow.add_returned(self.scope, frozenset(self.flow.definitions.list_classes(self.file, self.node.returns)))
        for statement in self.node.body:
            self.visit(statement)

    def visit(self, node: ast.AST) -> None:
        """Read a statement and the statements inside it."""
        if isinstance(node, ast.expr):
            self.evaluate(node)
        elif isinstance(node, ast.Assign):
            facts = self.evaluate_items(node.value)
            for target in node.targets:
                self.assign(target, facts)
        elif isinstance(node, ast.AnnAssign | ast.AugAssign):
            facts = self.evaluate(node.value) if node.value is not None else NOTHING
            named = node.annotation if isinstance(node, ast.AnnAssign) else None
            self.assign(node.target, facts | self.flow.definitions.list_classes(self.file, named))
        elif isinstance(node, ast.Return):
            if node.value is not None:
                self.flow.add_returned(self.scope, self.evaluate_items(node.value))
        else:
            self.visit_block(node)

    def visit_block(self, node: ast.AST) -> None:
        """Read a statement that has statements inside it."""
        if isinstance(node, ast.For | ast.AsyncFor | ast.comprehension):
            self.assign(node.target, self.evaluate_elements(node.iter))
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.withitem):
                facts = self.evaluate(child.context_expr)
                if child.optional_vars is not None:
                    self.assign(child.optional_vars, facts)
            elif not isinstance(child, ast.expr_context):
                self.visit(child)

    def assign(self, target: ast.expr, facts: Facts) -> None:
        """Note what a target gets."""
        if isinstance(target, ast.Name):
            self.flow.add(self.scope, target.id, facts)
        elif isinstance(target, ast.Tuple | ast.List):
            for index, item in enumerate(target.elts):
                self.assign(item, at_index(facts, index))
        elif isinstance(target, ast.Starred):
            self.assign(target.value, NOTHING)
        elif isinstance(target, ast.Attribute):
            for definition in self.flow.list_objects(self.evaluate(target.value)):
                self.flow.add(self.flow.class_scope(definition), target.attr, facts)

    def evaluate_items(self, node: ast.expr) -> Facts:
        """Return the facts of an expression; those of a tuple written in place are told apart by its items."""
        if isinstance(node, ast.Tuple) and not any(isinstance(item, ast.Starred) for item in node.elts):
            items = [self.evaluate(item) for item in node.elts]
            plain = [frozenset(fact for fact in facts if not fact.startswith("[")) for facts in items]
            return frozenset(f"[{index}]{fact}" for index, facts in enumerate(plain) for fact in facts)
        return self.evaluate(node)

    def evaluate_elements(self, node: ast.expr) -> Facts:
        """Return the facts of what a loop over an expression gets."""
        facts = self.evaluate(node)
        plain = {fact for fact in facts if not fact.startswith("[")} - {VALUE}
        return frozenset(plain | {ELEMENT}) if VALUE in facts else frozenset(plain)

    def evaluate(self, node: ast.expr) -> Facts:
        """Return the facts of an expression, and follow the calls in it."""
        if isinstance(node, ast.Name):
            return self.flow.facts.get((self.scope, node.id), NOTHING)
        if isinstance(node, ast.Attribute):
            return self.evaluate_attribute(node)
        if isinstance(node, ast.Call):
            return self.evaluate_call(node)
        if isinstance(node, ast.ListComp | ast.SetComp | ast.GeneratorExp | ast.DictComp):
            return self.evaluate_comprehension(node)
        if isinstance(node, ast.NamedExpr):
            facts = self.evaluate(node.value)
            self.assign(node.target, facts)
            return facts
        return self.evaluate_parts(node)

    def evaluate_comprehension(self, node: ast.ListComp | ast.SetComp | ast.GeneratorExp | ast.DictComp) -> Facts:
        """Return the facts of a comprehension. If it makes a list of elements of the list, that is the list again."""
        for generator in node.generators:
            self.visit_block(generator)
        if isinstance(node, ast.DictComp):
            self.evaluate_all((node.key, node.value))
            return NOTHING
        facts = self.evaluate(node.elt)
        return facts - {ELEMENT} | {VALUE} if ELEMENT in facts else facts - {VALUE}

    def evaluate_parts(self, node: ast.expr) -> Facts:
        """Return the facts of an expression that passes on those of its parts, or none."""
        if isinstance(node, ast.Subscript):
            return self.evaluate_subscript(node)
        if isinstance(node, ast.IfExp):
            self.evaluate(node.test)
            return self.evaluate(node.body) | self.evaluate(node.orelse)
        parts = [child for child in ast.iter_child_nodes(node) if isinstance(child, ast.expr)]
        if isinstance(node, ast.List | ast.Tuple | ast.Set):
            items = self.evaluate_all(part for part in parts if not isinstance(part, ast.Starred))
            return items - {VALUE} | self.evaluate_all(part for part in parts if isinstance(part, ast.Starred))
        facts = self.evaluate_all(parts)
        added = isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add)
        return facts if added or isinstance(node, ast.Starred | ast.BoolOp | ast.Await) else NOTHING

    def evaluate_subscript(self, node: ast.Subscript) -> Facts:
        """Return the facts of an item of a tuple, or of a slice of the list."""
        owner, key = self.evaluate(node.value), node.slice
        self.evaluate(key)
        if isinstance(key, ast.Slice):
            return owner
        if isinstance(key, ast.Constant) and isinstance(key.value, int):
            return at_index(owner, key.value)
        return owner - {VALUE}

    def evaluate_all(self, nodes: Iterable[ast.expr]) -> Facts:
        """Return the facts of several expressions together."""
        return frozenset(fact for node in nodes for fact in self.evaluate(node))

    def evaluate_attribute(self, node: ast.Attribute) -> Facts:
        """Return the facts of a field of an object, or of the attribute of the entry that is the list."""
        owner = self.evaluate(node.value)
        if node.attr == self.flow.followed and self.scope in self.flow.entries and isinstance(node.value, ast.Name):
            return frozenset({VALUE})
        facts = NOTHING
        for definition in self.flow.list_objects(owner):
            facts |= self.flow.facts.get((self.flow.class_scope(definition), node.attr), NOTHING)
            facts |= self.flow.definitions.list_classes(definition.file, definition.fields.get(node.attr))
            method = definition.methods.get(node.attr)
            if method is not None:  # a property
                facts |= self.flow.returned.get(self.flow.reach(method), NOTHING)
        return facts

    def evaluate_call(self, node: ast.Call) -> Facts:
        """Return the facts of what a call returns, and hand its arguments to the functions that it may call."""
        called = self.flow.definitions.find_expression(self.file, node.func)
        if isinstance(called, ClassDefinition):
            self.construct(called, node)
            return frozenset({called.key})
        if isinstance(called, Function):
            return self.call(called, node, bound=False)
        arguments = self.evaluate_all([*node.args, *(keyword.value for keyword in node.keywords)])
        facts = NOTHING
        if isinstance(node.func, ast.Attribute):
            owner = self.evaluate(node.func.value)
            methods = [item.methods.get(node.func.attr) for item in self.flow.list_objects(owner)]
            facts |= frozenset(f for m in methods if m is not None for f in self.call(m, node, bound=True))
            facts |= owner if node.func.attr == "copy" else NOTHING
        elif isinstance(node.func, ast.Name) and node.func.id in COPIES:
            facts |= arguments
        else:
            self.evaluate(node.func)
        return facts

    def construct(self, definition: ClassDefinition, node: ast.Call) -> None:
        """Hand the arguments of a call to the constructor of a class, or to the fields of a dataclass."""
        made = definition.methods.get("__init__")
        if made is not None:
            self.call(made, node, bound=True)
            return
        scope = self.flow.class_scope(definition)
        for name, argument in bind_arguments(node, list(definition.fields)):
            self.flow.add(scope, name, self.evaluate(argument) - {ELEMENT})

    def call(self, function: Function, node: ast.Call, bound: bool) -> Facts:
        """Hand the arguments of a call to a function, and return the facts of what it returns."""
        scope = self.flow.reach(function)
        variadic = function.node.args.vararg
        names = positional_names(function.node, bound)
        method = bound and function.node.name != "__init__"
        handed = frozenset({f"{function.file.module}.{function.owners[0]}"}) if method else NOTHING
        for name, argument in bind_arguments(node, names, variadic.arg if variadic else ""):
            facts = self.evaluate(argument) - {ELEMENT}
            handed |= facts
            self.flow.add(scope, name, facts)
        passed = self.flow.passed[self.scope]
        passed[scope] = passed.get(scope, NOTHING) | handed
        returned = self.flow.returned.get(scope, NOTHING)
        # A function that got neither the list nor an object cannot return the list, whatever others hand to it.
        return returned if handed or bound else frozenset(fact for fact in returned if not fact.endswith(VALUE))

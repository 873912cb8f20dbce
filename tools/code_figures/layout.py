"""Folders, modules at the top, and the levels of imports."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath

from code_figures.figure import Figure, Group, make_count
from code_figures.source import Code, SourceFile

LARGEST_FOLDER = 25  # modules

Graph = dict[str, set[str]]


def measure_layout(code: Code) -> Group:
    """Return the figures of folders and of imports between them."""
    top_rooms, all_rooms = make_graph(code, depth=1), make_graph(code, depth=None)
    cycles = list_cycles(all_rooms)
    top_cycles = [cycle for cycle in list_cycles(top_rooms) if cycle not in cycles]
    figures = (
        *measure_folders(code),
        measure_loose_modules(code),
        measure_levels("levels_top", "levels of imports, folders at the top", top_rooms),
        measure_levels("levels_all", "levels of imports, all folders", all_rooms),
        make_count("cycles", "cycles of imports between folders", [*cycles, *top_cycles], "0"),
    )
    return Group("Layout", figures)


def measure_folders(code: Code) -> tuple[Figure, ...]:
    """Measure the folder with most modules, and count the folders with more than 25.

    A folder is a directory of the package below its top. Its modules are the Python files directly in it, without
    `__init__.py` and `__main__.py`; those of folders inside it count for these. Lines are physical lines.
    """
    folders = [file.folder for file in code.modules if file.folder != code.settings.package]
    sizes = Counter(folders)
    if not sizes:
        return (Figure("largest_folder", "modules in the largest folder", 0, "0"),)
    folder, size = max(sizes.items(), key=lambda item: (item[1], item[0]))
    lines = sum(file.line_count for file in code.files if file.folder == folder)
    share = round(100 * lines / max(code.line_count, 1))
    large = [f"{name}: {count} modules" for name, count in sizes.most_common() if count > LARGEST_FOLDER]
    listed = tuple(f"{name}: {count} modules" for name, count in sizes.most_common())
    return (
        Figure("largest_folder", "modules in the largest folder", size, str(size), f"<= {LARGEST_FOLDER}", listed),
        Figure("largest_folder_name", "  its name", size, PurePosixPath(folder).name, "", (folder,)),
        Figure("largest_folder_lines", "  its share of all lines", share, f"{share} %"),
        make_count("large_folders", f"folders with more than {LARGEST_FOLDER} modules", large, "0"),
    )


def measure_loose_modules(code: Code) -> Figure:
    """Count the Python files directly at the top of the package, `__init__.py` and `__main__.py` included."""
    loose = [file.stem for file in code.files if file.folder == code.settings.package]
    return make_count("loose_modules", "modules loose at the top", loose, "<= 8")


def measure_levels(name: str, label: str, graph: Graph) -> Figure:
    """Count the rooms on the longest chain of imports.

    A room is a folder; a module at the top of the package is a room of its own, `__init__` and `__main__` too. An
    import statement counts wherever it stands in a file, also inside a function or under TYPE_CHECKING. Rooms that
    import each other in a cycle are one level.
    """
    chain = longest_chain(graph)
    return Figure(name, label, len(chain), str(len(chain)), "<= 9", tuple(chain))


def make_graph(code: Code, depth: int | None) -> Graph:
    """Return which rooms each room imports. Folders below `depth` are part of the folder above; None: none is."""
    rooms = {file.module: _name_room(file, depth) for file in code.files}
    graph: Graph = {room: set() for room in rooms.values()}
    for file in code.files:
        room = rooms[file.module]
        used = {rooms[module] for module in list_imports(file, frozenset(rooms))} - {room}
        graph[room] |= used
    return graph


def _name_room(file: SourceFile, depth: int | None) -> str:
    folders = file.folder.split("/")[1:]
    return "/".join(folders[:depth]) if folders else file.stem


def list_imports(file: SourceFile, modules: frozenset[str]) -> Iterator[str]:
    """Yield the modules of the package that a file imports, by their dotted names."""
    for node in file.nodes:
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        for name in names:
            module = name if name in modules else name.rpartition(".")[0]
            if module in modules:
                yield module


def longest_chain(graph: Mapping[str, set[str]]) -> list[str]:
    """Return the rooms of the longest chain of imports, from the importing end. A cycle is one item of it."""
    members = {room: cycle for cycle in find_components(graph) for room in cycle}
    lengths: dict[tuple[str, ...], list[str]] = {}

    def measure(cycle: tuple[str, ...]) -> list[str]:
        if cycle not in lengths:
            below = {members[used] for room in cycle for used in graph[room]} - {cycle}
            longest = max((measure(other) for other in sorted(below)), key=len, default=[])
            lengths[cycle] = [" = ".join(cycle), *longest]
        return lengths[cycle]

    return max((measure(cycle) for cycle in sorted(set(members.values()))), key=len, default=[])


def list_cycles(graph: Mapping[str, set[str]]) -> list[str]:
    """Return the sets of rooms that import each other, directly or through others."""
    return [" = ".join(component) for component in find_components(graph) if len(component) > 1]


def find_components(graph: Mapping[str, set[str]]) -> list[tuple[str, ...]]:
    """Return the strongly connected components: rooms that reach each other. Each is sorted by name."""
    reached = {room: _reach(graph, room) for room in graph}
    components = {tuple(sorted(other for other in reached[room] if room in reached[other])) for room in graph}
    return sorted(components)


def _reach(graph: Mapping[str, set[str]], start: str) -> set[str]:
    """Return the rooms that can be reached by imports, the start included."""
    reached, todo = {start}, [start]
    while todo:
        fresh = graph[todo.pop()] - reached
        reached |= fresh
        todo.extend(fresh)
    return reached

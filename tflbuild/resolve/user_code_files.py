"""A user's code as an input: the files that a reference reaches, and the packages they import.

A reference is `file.py:name` or `module:name`. Files are found by reading import statements, never
by running anything; what code reaches in other ways, it declares.
"""

from __future__ import annotations

import ast
import importlib.util
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from importlib import metadata
from importlib.machinery import ModuleSpec
from pathlib import Path

from tflbuild.core.digest import hash_tree
from tflbuild.core.untrusted_files import hash_file
from tflbuild.errors import RecipeError, nearest
from tflbuild.locations import locate


@dataclass(frozen=True, kw_only=True)
class CodeFiles:
    """What references stand on.

    `root` is the folder that `files` are relative to (POSIX name -> path); `packages` maps installed
    distributions that the code imports to their versions, and modules without one to their digests, of
    the files in `outside`; `entries` are the references as a worker reads them: (file relative to `root`,
    or module, and name). `absent` are files that would stand for a module which was not found there.
    """

    root: Path
    files: dict[str, Path] = field(default_factory=dict)
    packages: dict[str, str] = field(default_factory=dict)
    entries: tuple[str, ...] = ()
    outside: tuple[Path, ...] = ()
    absent: tuple[Path, ...] = ()


def find_code(
    references: Sequence[str], declared: Sequence[str], keys: Sequence[str], files_key: str = "source.files"
) -> CodeFiles:
    """Every file behind `references` and every `declared` one. `keys` are the references' in the recipe.

    Raises RecipeError for a file or module that is not there.
    """
    starts = [_start(reference, key) for reference, key in zip(references, keys, strict=True)]
    extra = [file for text in declared for file in _declared(text, files_key)]
    root = _root([*[path for path in starts if path is not None], *extra])
    search = _Search(root)
    entries = []
    for reference, path in zip(references, starts, strict=True):
        module, _, name = reference.rpartition(":")
        if path is None:
            search.add_package(module.partition(".")[0])
            entries.append(reference)
        else:
            search.add_file(path)
            entries.append(f"{path.relative_to(root).as_posix()}:{name}")
    for file in extra:
        search.add_file(file)
    return CodeFiles(
        root=root,
        files=search.files,
        packages=search.packages,
        entries=tuple(entries),
        outside=tuple(search.outside),
        absent=tuple(dict.fromkeys(search.absent)),
    )


def _start(reference: str, key: str) -> Path | None:
    """The file of a reference, or None where an installed module is meant. Raises RecipeError for neither."""
    module = reference.rpartition(":")[0]
    if module.endswith(".py"):
        path = _normal(module)
        if not path.is_file():
            siblings = [entry.name for entry in path.parent.iterdir()] if path.parent.is_dir() else []
            raise RecipeError(
                f"'{module}' does not exist",
                where=key,
                why=nearest(path.name, siblings) or f"there is no such file in {path.parent}",
                next_step="paths are relative to the current directory; correct the path or make the file",
            )
        return path
    local = _module_file(Path.cwd(), module)
    if local is not None:
        return local
    top = module.partition(".")[0]
    if _installed(top) is None:
        raise RecipeError(
            f"there is no module '{module}'",
            where=key,
            why=f"neither {module.replace('.', '/')}.py in the current directory, nor an installed package '{top}'",
            next_step="name a file ('model.py:make'), or install the package",
        )
    return None


def _declared(text: str, key: str) -> Iterator[Path]:
    """The files that one entry of `source.files` (or `key`) stands for: a file, a folder's, or a glob's."""
    path = _normal(text)
    if path.is_dir():
        found = sorted(file for file in path.rglob("*") if file.is_file() and "__pycache__" not in file.parts)
    elif path.is_file():
        found = [path]
    else:
        found = sorted(file for file in path.parent.glob(path.name) if file.is_file()) if path.parent.is_dir() else []
    if not found:
        raise RecipeError(
            f"'{text}' does not exist",
            where=key,
            next_step="paths are relative to the current directory; a folder and a pattern such as data/*.txt will do",
        )
    yield from found


def _normal(text: str) -> Path:
    """A recipe's path without `..`, so that names below the root stay below it."""
    return Path(os.path.normpath(locate(text)))


def _installed(top: str) -> ModuleSpec | None:
    """Where a top-level module would be imported from, by the rules of this Python; nothing is imported."""
    if top == "__main__":
        return None
    try:
        return importlib.util.find_spec(top)
    except (ImportError, ValueError):
        return None


def _root(paths: Sequence[Path]) -> Path:
    """The current directory where it holds all of them, else the nearest folder that does."""
    here = Path.cwd()
    if all(path.is_relative_to(here) for path in paths):
        return here
    root = paths[0].parent
    while not all(path.is_relative_to(root) for path in paths):
        root = root.parent
    return root


def _module_file(folder: Path, module: str) -> Path | None:
    """The file of a dotted module below a folder."""
    place = folder.joinpath(*module.split("."))
    for candidate in (place.with_name(f"{place.name}.py"), place / "__init__.py"):
        if candidate.is_file():
            return candidate
    return None


class _Search:
    """Follows import statements from file to file."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.files: dict[str, Path] = {}
        self.packages: dict[str, str] = {}
        self.outside: list[Path] = []
        self.absent: list[Path] = []

    def add_file(self, path: Path) -> None:
        """A file and, when it is Python, all that it imports."""
        name = path.relative_to(self.root).as_posix()
        if name in self.files:
            return
        self.files[name] = path
        if path.suffix == ".py":
            self._add_parents(path)
            for folders, module in _imports(path, self.root):
                self.add_module(module, folders)

    def _add_parents(self, path: Path) -> None:
        """The __init__.py files of the packages that a module lies in."""
        for folder in _packages(path):
            if folder.is_relative_to(self.root):
                self.add_file(folder / "__init__.py")

    def add_module(self, module: str, folders: Sequence[Path]) -> None:
        """A module by its dotted name: below one of the folders where it may be the user's own, else installed."""
        for folder in folders:
            parts = module.split(".")
            found = [_module_file(folder, ".".join(parts[:count])) for count in range(1, len(parts) + 1)]
            if any(found):
                for file in found:
                    if file is not None and file.is_relative_to(self.root):
                        self.add_file(file)
                return
        top = module.partition(".")[0]
        self.absent += [folder / file for folder in folders for file in (f"{top}.py", f"{top}/__init__.py")]
        self.add_package(module.partition(".")[0])

    def add_package(self, top: str) -> None:
        """What an installed module is known by: its distribution's version, or its files' digest where it has none.

        Code on PYTHONPATH and editable installs change without a version saying so.
        """
        if not top or top in sys.stdlib_module_names or top in sys.builtin_module_names:
            return
        spec = _installed(top)
        origin = Path(spec.origin) if spec is not None and spec.origin else None
        if origin is not None and origin.is_file() and not {"site-packages", "dist-packages"} & set(origin.parts):
            files = _files_of(origin)
            self.packages[top] = hash_tree(
                {file.relative_to(origin.parent).as_posix(): hash_file(file) for file in files}
            )
            self.outside += files
            return
        for name in _distributions().get(top, ()):
            self.packages[name] = metadata.version(name)


def _files_of(origin: Path) -> list[Path]:
    """A module's file, or all Python of the package that it begins."""
    return sorted(origin.parent.rglob("*.py")) if origin.name == "__init__.py" else [origin]


def _distributions() -> dict[str, list[str]]:
    if not _known:
        _known.update(metadata.packages_distributions())
    return _known


_known: dict[str, list[str]] = {}


def _imports(path: Path, root: Path) -> Iterator[tuple[tuple[Path, ...], str]]:
    """(folders to look in, dotted module) of every import statement anywhere in a file."""
    try:
        tree = ast.parse(path.read_bytes())
    except (SyntaxError, ValueError):
        return  # the worker that imports it says so, with the line
    packages = _packages(path)
    top = packages[-1].parent if packages else path.parent  # where the outermost package lies
    anywhere = tuple(dict.fromkeys((path.parent, top, root)))
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((anywhere, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            folders = anywhere if node.level == 0 else (path.parents[min(node.level, len(path.parents)) - 1],)
            names = [alias.name for alias in node.names if alias.name != "*"]
            if node.module:
                yield folders, node.module
                names = [f"{node.module}.{name}" for name in names]
            yield from ((folders, name) for name in names)


def _packages(path: Path) -> list[Path]:
    """The folders of the packages that a module lies in, innermost first."""
    found = []
    folder = path.parent
    while (folder / "__init__.py").is_file():
        found.append(folder)
        folder = folder.parent
    return found

"""User code as an input: the files that a reference imports, and the packages that these files import.

A reference is `file.py:name` or `module:name`. Files are found by reading import statements, and no code runs. Files
that the code reads in another way must be declared in the recipe.
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
    """The files and packages that references depend on.

    Attributes:
        root: The folder that the names of files are relative to.
        files: The path of each file, by its relative POSIX name.
        packages: The version of each installed package that the code imports. For a module that belongs to no package,
            the digest of its files.
        entries: The references as a worker resolves them: `MODULE:NAME`, or `FILE:NAME` with a file relative to `root`.
        outside: The files of the modules that belong to no package.
        absent: Files that do not exist, and that would be imported instead of an installed module if they did.
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
    """Return the files and packages that user code depends on.

    Args:
        references: The references to the code.
        declared: The declared files, folders and patterns.
        keys: The recipe key of each reference.
        files_key: The recipe key of the declared files.

    Raises:
        RecipeError: A file or module does not exist.
    """
    starts = [_find_start(reference, key) for reference, key in zip(references, keys, strict=True)]
    extra = [file for text in declared for file in _list_declared_files(text, files_key)]
    root = _find_root([*[path for path in starts if path is not None], *extra])
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


def _find_start(reference: str, key: str) -> Path | None:
    """Return the file of a reference, None for an installed module.

    Raises:
        RecipeError: There is neither such a file nor such a module.
    """
    module = reference.rpartition(":")[0]
    if module.endswith(".py"):
        path = _normalize_path(module)
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
    if _find_installed(top) is None:
        raise RecipeError(
            f"there is no module '{module}'",
            where=key,
            why=f"neither {module.replace('.', '/')}.py in the current directory, nor an installed package '{top}'",
            next_step="name a file ('model.py:make'), or install the package",
        )
    return None


def _list_declared_files(text: str, key: str) -> Iterator[Path]:
    """Yield the files of a declared file, folder or pattern. Raises RecipeError if there are none."""
    path = _normalize_path(text)
    if path.is_dir():
        files = sorted(file for file in path.rglob("*") if file.is_file() and "__pycache__" not in file.parts)
    elif path.is_file():
        files = [path]
    else:
        files = sorted(file for file in path.parent.glob(path.name) if file.is_file()) if path.parent.is_dir() else []
    if not files:
        raise RecipeError(
            f"'{text}' does not exist",
            where=key,
            next_step="name a file, a folder or a pattern such as data/*.txt, relative to the current directory",
        )
    yield from files


def _normalize_path(text: str) -> Path:
    """Return a path of the recipe without `..`, so that files below the root have names below it."""
    return Path(os.path.normpath(locate(text)))


def _find_installed(top: str) -> ModuleSpec | None:
    """Return where Python would import a top-level module from, None if it is not installed. Nothing is imported."""
    if top == "__main__":
        return None
    try:
        return importlib.util.find_spec(top)
    except (ImportError, ValueError):
        return None


def _find_root(paths: Sequence[Path]) -> Path:
    """Return the current directory if it contains all paths, else the deepest folder that contains them."""
    here = Path.cwd()
    if all(path.is_relative_to(here) for path in paths):
        return here
    root = paths[0].parent
    while not all(path.is_relative_to(root) for path in paths):
        root = root.parent
    return root


def _module_file(folder: Path, module: str) -> Path | None:
    """Return the file of a dotted module below a folder, None if there is none."""
    path = folder.joinpath(*module.split("."))
    for candidate in (path.with_name(f"{path.name}.py"), path / "__init__.py"):
        if candidate.is_file():
            return candidate
    return None


class _Search:
    """A search that follows import statements from file to file."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.files: dict[str, Path] = {}
        self.packages: dict[str, str] = {}
        self.outside: list[Path] = []
        self.absent: list[Path] = []

    def add_file(self, path: Path) -> None:
        """Add a file and, if it is Python code, everything that it imports."""
        name = path.relative_to(self.root).as_posix()
        if name in self.files:
            return
        self.files[name] = path
        if path.suffix == ".py":
            self._add_parents(path)
            for folders, module in _imports(path, self.root):
                self.add_module(module, folders)

    def _add_parents(self, path: Path) -> None:
        """Add the `__init__.py` files of the packages that contain a module."""
        for folder in _packages(path):
            if folder.is_relative_to(self.root):
                self.add_file(folder / "__init__.py")

    def add_module(self, module: str, folders: Sequence[Path]) -> None:
        """Add a module by its dotted name, from the first of the folders that contains it, or else as installed."""
        for folder in folders:
            parts = module.split(".")
            module_files = [_module_file(folder, ".".join(parts[:count])) for count in range(1, len(parts) + 1)]
            if any(module_files):
                for file in module_files:
                    if file is not None and file.is_relative_to(self.root):
                        self.add_file(file)
                return
        top = module.partition(".")[0]
        self.absent += [folder / file for folder in folders for file in (f"{top}.py", f"{top}/__init__.py")]
        self.add_package(module.partition(".")[0])

    def add_package(self, top: str) -> None:
        """Add an installed module: the version of its package, or the digest of its files if it belongs to none.

        Code on PYTHONPATH and editable installs are hashed too, because they change without a new version.
        """
        if not top or top in sys.stdlib_module_names or top in sys.builtin_module_names:
            return
        spec = _find_installed(top)
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
    """Return the file of a module, or all Python files of a package for its `__init__.py`."""
    return sorted(origin.parent.rglob("*.py")) if origin.name == "__init__.py" else [origin]


def _distributions() -> dict[str, list[str]]:
    if not _known:
        _known.update(metadata.packages_distributions())
    return _known


_known: dict[str, list[str]] = {}


def _imports(path: Path, root: Path) -> Iterator[tuple[tuple[Path, ...], str]]:
    """Yield (folders to search, dotted module) of every import statement anywhere in a file."""
    try:
        tree = ast.parse(path.read_bytes())
    except (SyntaxError, ValueError):
        # The worker that imports the file reports the error with its line.
        return
    packages = _packages(path)
    # The folder that contains the outermost package.
    top = packages[-1].parent if packages else path.parent
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
    """Return the folders of the packages that contain a module, innermost first."""
    folders = []
    folder = path.parent
    while (folder / "__init__.py").is_file():
        folders.append(folder)
        folder = folder.parent
    return folders

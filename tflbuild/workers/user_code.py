"""A recipe's references to Python code, imported: from the files that the recipe reaches, and nothing beside them."""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tflbuild.workers.contract import Request, WorkerError

CODE = "code"


def load_reference(request: Request, entry: str, key: str) -> Any:
    """What `file.py:name` (below the input `code`) or `module:name` refers to; `key` is its place in the recipe.

    Raises WorkerError when it cannot be imported or has no such name.
    """
    module, _, name = entry.rpartition(":")
    with told(request, f"'{module}' cannot be imported", key):
        found = import_file(request, module) if module.endswith(".py") else importlib.import_module(module)
    for part in name.split("."):
        if not hasattr(found, part):
            known = ", ".join(sorted(n for n, v in vars(found).items() if callable(v) and not n.startswith("_")))
            raise WorkerError(f"'{module}' has no '{name}'", where=key, why=f"it has: {known or 'nothing to call'}")
        found = getattr(found, part)
    if not callable(found):
        raise WorkerError(f"'{entry}' cannot be called", where=key, why=f"it is a {type(found).__name__}")
    return found


def import_file(request: Request, file: str) -> Any:
    """The module in a file of the input `code`. Its folder and the root are where its imports are found."""
    root = request.inputs[CODE]
    path = root / file
    for folder in (str(root), str(path.parent)):
        if folder not in sys.path:
            sys.path.insert(0, folder)
    os.chdir(root)  # files that the code names relative to the project are found, the declared ones alone
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    return module


@contextmanager
def told(request: Request, what: str, key: str) -> Iterator[None]:
    """An exception of the user's code, as an error that names their own line."""
    try:
        yield
    except WorkerError:
        raise
    except Exception as error:
        raise WorkerError(
            what,
            where=key,
            why="\n".join([f"{type(error).__name__}: {first_line(error)}", *own_frames(error, request)]),
            next_step=advice(error),
        ) from error


def own_frames(error: BaseException, request: Request) -> list[str]:
    """`model.py:12 in make: x = tf.foo(y)`, the innermost line of the user's own files, when there is one."""
    root = str(request.inputs.get(CODE, Path("/nowhere")))
    if isinstance(error, SyntaxError) and error.filename and error.filename.startswith(root):
        return [f"{os.path.relpath(error.filename, root)}:{error.lineno}: {(error.text or '').strip()}"]
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename.startswith(root)]
    return [f"{os.path.relpath(f.filename, root)}:{f.lineno} in {f.name}: {f.line}" for f in frames[-1:]]


def advice(error: BaseException) -> str:
    """What to do about it, where the exception's class says so."""
    if isinstance(error, ModuleNotFoundError):
        return f"install it, or list it in source.files when '{error.name}' is your own and its name is computed"
    if isinstance(error, FileNotFoundError):
        return "the code sees the files that it imports and those in source.files alone: list what it reads"
    return ""


def first_line(error: BaseException) -> str:
    """The start of what an exception says."""
    return (str(error).strip() or type(error).__name__).split("\n")[0][:300]

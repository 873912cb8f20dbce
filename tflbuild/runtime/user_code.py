"""Import of user code: the functions that a recipe names, from copies of the files that they import or declare."""

from __future__ import annotations

import importlib
import importlib.util
import os
import re
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tflbuild.runtime.step_contract import StepRequest, WorkerError
from tflbuild.runtime.undeclared_reads import denied_read, guard_reads

CODE = "code"
# The first words of the message in which TensorFlow wraps an exception that occurred while it traced a function.
TRACED = "in user code:"


def load_reference(request: StepRequest, entry: str, key: str) -> Any:
    """Import the object that a recipe refers to.

    Args:
        request: The request of the step. Its input `code` is the folder of the declared files.
        entry: `FILE.py:NAME`, with a file below the input `code`, or `MODULE:NAME`.
        key: The recipe key of the reference.

    Returns:
        The object, which can be called.

    Raises:
        WorkerError: The module cannot be imported, has no such name, or the object cannot be called.
    """
    module, _, name = entry.rpartition(":")
    guard_reads(request, entry, files_key(key))
    with convert_user_error(request, f"'{module}' cannot be imported", key):
        target = import_file(request, module) if module.endswith(".py") else importlib.import_module(module)
    for part in name.split("."):
        if not hasattr(target, part):
            callables = ", ".join(sorted(n for n, v in vars(target).items() if callable(v) and not n.startswith("_")))
            raise WorkerError(
                f"'{module}' has no '{name}'", where=key, why=f"it has: {callables or 'nothing that can be called'}"
            )
        target = getattr(target, part)
    if not callable(target):
        raise WorkerError(f"'{entry}' cannot be called", where=key, why=f"it is a {type(target).__name__}")
    return target


def import_file(request: StepRequest, file: str) -> Any:
    """Import a file of the input `code` as a module, and as a part of its package if it is in one.

    The folder of the file, the folder of its outermost package, and the root are added to `sys.path`.
    """
    root = request.inputs[CODE]
    path = root / file
    parts, top = [path.stem], path.parent
    while (top / "__init__.py").is_file() and top != root:
        parts.insert(0, top.name)
        top = top.parent
    for folder in (str(root), str(path.parent), str(top)):
        if folder not in sys.path:
            sys.path.insert(0, folder)
    # The code can open declared files with paths relative to the project.
    os.chdir(root)
    if len(parts) > 1:
        return importlib.import_module(".".join(parts))
    namesake = sys.modules.get(path.stem)
    # A file such as `signal.py` must not replace the module of the same name that is already imported.
    foreign = namesake is not None and getattr(namesake, "__file__", None) != str(path)
    name = f"own_{file}" if foreign else path.stem
    # Two references to one file must share its classes.
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


@contextmanager
def convert_user_error(request: StepRequest, what: str, key: str) -> Iterator[None]:
    """Convert an exception of user code to a WorkerError that names the line of the user's file.

    Args:
        request: The request of the step.
        what: The first line of the message.
        key: The recipe key that refers to the code.

    Raises:
        WorkerError: The block raised an exception.
    """
    try:
        yield
    except WorkerError:
        raise
    except (Exception, SystemExit) as error:
        # TensorFlow wraps an exception that occurs while it traces a function, even if it is a WorkerError.
        wrapped = error.__cause__ or error.__context__
        while wrapped is not None and not isinstance(wrapped, WorkerError):
            wrapped = wrapped.__cause__ or wrapped.__context__
        if wrapped is not None:
            raise wrapped from error
        denied = denied_read(error)
        if denied is not None:
            raise denied from error
        raise WorkerError(
            what,
            where=key,
            why="\n".join([f"{type(error).__name__}: {original_message(error)}", *user_frames(error, request)]),
            next_step=suggest_fix(error, files_key(key)),
        ) from error


def user_frames(error: BaseException, request: StepRequest) -> list[str]:
    """Return the innermost line of the user's files in a traceback, such as `model.py:12 in make: x = tf.foo(y)`.

    The list is empty if there is no such line.
    """
    root = str(request.inputs.get(CODE, Path("/nowhere")))
    traced = re.findall(rf'File "{re.escape(root)}/(.*?)", line (\d+), in (\w+).*\n\s*(.*)', str(error))
    if str(error).startswith(TRACED) and traced:
        file, line, name, text = traced[-1]
        return [f"{file}:{line} in {name}: {text}"]
    if isinstance(error, SyntaxError) and error.filename and error.filename.startswith(root):
        return [f"{os.path.relpath(error.filename, root)}:{error.lineno}: {(error.text or '').strip()}"]
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename.startswith(root)]
    return [f"{os.path.relpath(f.filename, root)}:{f.lineno} in {f.name}: {f.line}" for f in frames[-1:]]


def original_message(error: BaseException) -> str:
    """Return the message of an exception, without the text in which TensorFlow wraps it while it traces a function."""
    text = str(error)
    if not text.startswith(TRACED):
        return first_line(error)
    message = re.search(rf"^\s*{type(error).__name__}: (.*)", text, re.M)
    return message[1][:300] if message else first_line(error)


def files_key(key: str) -> str:
    """Return the recipe key that declares the files of the code in `key`, such as `source.files` or `verify.files`."""
    if key.startswith("verify.metrics"):
        return "verify.files"
    return f"{key.removesuffix('.call')}.files" if key.endswith("dataset.call") else "source.files"


def suggest_fix(error: BaseException, files: str = "source.files") -> str:
    """Return what the user can do about an exception; "" if its class does not say it.

    Args:
        error: The exception of user code.
        files: The recipe key that declares files.
    """
    if isinstance(error, ModuleNotFoundError):
        return f"install '{error.name}'; if it is a module of yours whose name is computed, list its file in {files}"
    if isinstance(error, FileNotFoundError):
        return f"list the files that the code reads in {files}: it sees only these and the files that it imports"
    return ""


def first_line(error: BaseException) -> str:
    """Return the first line of an exception's message, at most 300 characters."""
    return (str(error).strip() or type(error).__name__).split("\n")[0][:300]

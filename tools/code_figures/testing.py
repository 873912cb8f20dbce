"""Whether tests mirror the modules, are typed, and are short."""

from __future__ import annotations

from collections import Counter
from pathlib import PurePosixPath

from code_figures.figure import Figure, Group, make_count
from code_figures.source import Code, Function, SourceFile, list_functions, list_parameters

LONG_FUNCTION = 100  # lines


def measure_tests(code: Code) -> Group:
    """Return the figures of tests."""
    functions = list_functions(code.tests)
    tests = [function for function in functions if _is_test(function)]
    figures = (*measure_untested(code), *measure_annotated(functions, tests), *measure_lengths(functions, tests))
    return Group("Tests", figures)


def _is_test(function: Function) -> bool:
    named = function.node.name.startswith("test_") and not function.nested
    return named and PurePosixPath(function.file.path).name.startswith("test_")


def measure_untested(code: Code) -> tuple[Figure, ...]:
    """Count the modules that no file of tests has the name of.

    A module `folder/module.py` has tests in `test_module.py` or `test_folder_module.py`, anywhere below the tests.
    A name that several modules have, such as `spec`, must come with its folder: `test_folder_module.py`, or
    `test_module.py` in a folder of tests of the same name.
    """
    untested = list_untested(code)
    sizes = Counter(file.folder for file in code.modules if file.folder != code.settings.package)
    every = make_count("untested_modules", "modules without tests of their name", untested, "0", len(code.modules))
    if not sizes:
        return (every,)
    folder, size = max(sizes.items(), key=lambda item: (item[1], item[0]))
    inside = [path for path in untested if str(PurePosixPath(path).parent) == folder]
    return every, make_count("untested_largest", "  of the largest folder", inside, "0", size)


def list_untested(code: Code) -> list[str]:
    """Return the paths of the modules that no file of tests has the name of."""
    names = {file.stem for file in code.tests}
    mirrored = {(PurePosixPath(file.folder).name, file.stem) for file in code.tests}
    stems = Counter(file.stem for file in code.modules)

    def has_tests(file: SourceFile) -> bool:
        folder = PurePosixPath(file.folder).name
        if f"test_{folder}_{file.stem}" in names or (folder, f"test_{file.stem}") in mirrored:
            return True
        return stems[file.stem] == 1 and f"test_{file.stem}" in names

    return [file.path for file in code.modules if not has_tests(file)]


def measure_annotated(functions: list[Function], tests: list[Function]) -> tuple[Figure, ...]:
    """Measure the share of functions below the tests that are annotated, and that of test functions alone.

    A test function is one called `test_...` in a file called `test_....py`. A function is annotated if its return and
    every parameter other than `self` have an annotation.
    """
    return (
        _make_share("annotated_functions", "annotated functions in tests", functions),
        _make_share("annotated_tests", "  of test functions alone", tests),
    )


def _make_share(name: str, label: str, functions: list[Function]) -> Figure:
    annotated = sum(map(_is_annotated, functions))
    share = round(100 * annotated / max(len(functions), 1))
    return Figure(name, label, share, f"{share} %", "", (f"{annotated} of {len(functions)}",))


def _is_annotated(function: Function) -> bool:
    parameters = [parameter for parameter in list_parameters(function.node) if parameter.arg != "self"]
    return function.node.returns is not None and all(parameter.annotation for parameter in parameters)


def measure_lengths(functions: list[Function], tests: list[Function]) -> tuple[Figure, ...]:
    """Measure the longest function and the longest test function, and count functions of 100 lines or more.

    The first and the last are of every function below the tests: functions that make cases are often no tests.
    """
    ordered = sorted(functions, key=lambda function: -function.line_count)
    long = [f"{item.label}: {item.line_count} lines" for item in ordered if item.line_count >= LONG_FUNCTION]
    return (
        _make_longest("longest_function", "longest function in tests, lines", functions),
        _make_longest("longest_test", "  of test functions alone", tests),
        make_count("long_functions", f"functions in tests of {LONG_FUNCTION} lines or more", long, "0"),
    )


def _make_longest(name: str, label: str, functions: list[Function]) -> Figure:
    longest = max(functions, key=lambda function: function.line_count, default=None)
    length = 0 if longest is None else longest.line_count
    return Figure(name, label, length, str(length), "", () if longest is None else (longest.label,))

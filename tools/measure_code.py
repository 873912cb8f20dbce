"""Print how easy the code base is to take over: a report of its layout, names, documentation and tests.

    python tools/measure_code.py                       the working tree
    python tools/measure_code.py v1.2                  a revision of git
    python tools/measure_code.py --compare v1.1 v1.2   two revisions side by side
    python tools/measure_code.py --details             with the files and lines behind each figure

The functions `measure_...` in `code_figures/` define the figures. Nothing is imported or run of what is measured, and
no figure is a limit: the column "wanted" says in which direction the project is going.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path

from code_figures.configuration import measure_configuration
from code_figures.documentation import measure_documentation
from code_figures.figure import Group
from code_figures.layout import measure_layout
from code_figures.names import measure_names
from code_figures.repository import export_revision, read_history
from code_figures.source import Code, Settings, read_code
from code_figures.steps import History, measure_steps
from code_figures.table import format_details, format_table, make_json
from code_figures.testing import measure_tests
from code_figures.value_flow import measure_value

REPOSITORY = Path(__file__).resolve().parents[1]
WORKING_TREE = "working tree"

# Options that replace a setting -> the setting.
SETTINGS = {
    "package": ("package", "folder of the package"),
    "tests": ("tests", "folder of the tests"),
    "exclude": ("excluded", "folders whose Python files are data"),
    "targets": ("targets", "targets that files may name"),
    "vague-names": ("vague_names", "names that no local should have"),
    "loose-types": ("loose_types", "types that say nothing"),
    "array-types": ("array_types", "names of arrays in annotations"),
    "steps": ("step_patterns", "globs of the files that declare steps, below the package"),
    "schema": ("schema_patterns", "globs of the files of the schema"),
    "recipe": ("recipe_patterns", "globs of the files of the recipe"),
    "entry": ("entry", "function, or module.function, from which the list is followed"),
    "value": ("followed", "attribute that has the list which is followed"),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command, and return its exit code: 0, or 2 for a revision or folder that is not there."""
    options = make_parser().parse_args(arguments)
    settings = read_settings(options)
    revisions = [options.revision] if options.compare is None else [options.compare, options.revision]
    try:
        measured = [measure_revision(Path(options.repository), revision, settings) for revision in revisions]
    except subprocess.CalledProcessError as error:
        print(f"measure_code: git: {error.stderr.decode().strip()}", file=sys.stderr)
        return 2
    except (FileNotFoundError, SyntaxError) as error:
        print(f"measure_code: {error}", file=sys.stderr)
        return 2
    titles = [revision or WORKING_TREE for revision in revisions]
    print(format_table([title[:13] for title in titles], measured), end="")
    if options.details:
        print("\n" + format_details(measured[-1]), end="")
    if options.json is not None:
        values = [
            {"revision": title, "figures": make_json(groups)} for title, groups in zip(titles, measured, strict=True)
        ]
        Path(options.json).write_text(json.dumps(values, indent=2) + "\n", "utf-8")
    return 0


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    summary = (__doc__ or "").partition("\n")[0]
    parser = argparse.ArgumentParser(description=summary)
    parser.add_argument(
        "revision", nargs="?", metavar="REVISION", help="a revision of git; without it the working tree"
    )
    parser.add_argument("--compare", metavar="OLD", help="print a column for this revision before the other")
    parser.add_argument("--json", metavar="FILE", help="write the figures and what they counted into a file")
    parser.add_argument("--details", action="store_true", help="print what each figure counted")
    parser.add_argument("--repository", default=str(REPOSITORY), help="root of the repository")
    defaults = Settings()
    for option, (setting, text) in SETTINGS.items():
        default = getattr(defaults, setting)
        shown = default if isinstance(default, str) else ",".join(default)
        convert, metavar = (str, "NAME") if isinstance(default, str) else (split_list, "A,B")
        help_text = f"{text} (default: %(default)s)"
        parser.add_argument(f"--{option}", dest=setting, type=convert, default=shown, metavar=metavar, help=help_text)
    return parser


def split_list(text: str) -> tuple[str, ...]:
    """Return the items of a list that is separated by commas."""
    return tuple(filter(None, text.split(",")))


def read_settings(options: argparse.Namespace) -> Settings:
    """Return the settings that the command line states."""
    return Settings(**{field.name: getattr(options, field.name) for field in fields(Settings)})


def measure_revision(repository: Path, revision: str | None, settings: Settings) -> tuple[Group, ...]:
    """Measure a revision, or the working tree for None.

    Raises:
        subprocess.CalledProcessError: git knows no such revision.
        FileNotFoundError: there is no such package.
        SyntaxError: a file is not Python.
    """
    if revision is None:
        return measure_all(read_code(repository, settings), read_known_history(repository, settings))
    with tempfile.TemporaryDirectory() as folder:
        export_revision(repository, revision, Path(folder))
        return measure_all(read_code(Path(folder), settings), read_history(repository, revision, settings))


def read_known_history(repository: Path, settings: Settings) -> History | None:
    """Return the commits behind the working tree; None where it is in no repository of git."""
    try:
        return read_history(repository, "HEAD", settings)
    except (subprocess.CalledProcessError, FileNotFoundError):
        return None


def measure_all(code: Code, history: History | None) -> tuple[Group, ...]:
    """Return every group of figures."""
    return (
        measure_layout(code),
        measure_value(code),
        measure_names(code),
        measure_steps(code, history),
        measure_documentation(code),
        measure_tests(code),
        measure_configuration(code),
    )


if __name__ == "__main__":
    sys.exit(main())

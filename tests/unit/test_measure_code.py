"""The figures of tools/measure_code.py, on small packages that are made for them."""

import ast
import json
import sys
import textwrap
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[2] / "tools"))

import measure_code
from code_figures.configuration import measure_configuration
from code_figures.documentation import measure_documentation
from code_figures.figure import Figure, Group
from code_figures.layout import list_cycles, longest_chain, measure_layout
from code_figures.names import measure_names
from code_figures.repository import parse_log
from code_figures.source import Code, Settings, read_code
from code_figures.steps import History, has_words, measure_steps, split_words
from code_figures.table import format_details, format_table, make_json
from code_figures.testing import measure_tests
from code_figures.value_flow import measure_value

Files = dict[str, str]


@pytest.fixture(autouse=True)
def without_git(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measure_code, "read_known_history", lambda repository, settings: None)


OLD_LAYOUT: Files = {
    "app/__init__.py": "",
    "app/__main__.py": "from app.cli import build",
    "app/cli.py": "from app.workers import gpu",
    "app/errors.py": "",
    "app/workers/__init__.py": "",
    "app/workers/gpu.py": "import app.errors",
    "app/workers/sum.py": "def f():\n    from app.workers.gpu import x",
}
NEW_LAYOUT: Files = {
    "app/__init__.py": "",
    "app/steps/convert/spec.py": "from app.targets.gpu.rules import RULES",
    "app/steps/verify/spec.py": "",
    "app/targets/gpu/rules.py": "",
    "app/targets/registry.py": "from app.targets.gpu import rules",
}


def write_code(folder: Path, files: Files, **settings: object) -> Code:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text))
    return read_code(folder, Settings(package="app", **settings))


def figures_of(group: Group) -> dict[str, Figure]:
    return {figure.name: figure for figure in group.figures}


def texts_of(group: Group, *names: str) -> list[str]:
    figures = figures_of(group)
    return [figures[name].text for name in names]


def test_layout_of_flat_folders(tmp_path: Path) -> None:
    group = measure_layout(write_code(tmp_path, OLD_LAYOUT))
    assert texts_of(group, "largest_folder", "largest_folder_name", "largest_folder_lines") == ["2", "workers", "60 %"]
    assert texts_of(group, "large_folders", "loose_modules", "cycles") == ["0", "4", "0"]
    assert figures_of(group)["levels_all"].details == ("__main__", "cli", "workers", "errors")


def test_layout_of_nested_folders(tmp_path: Path) -> None:
    group = measure_layout(write_code(tmp_path, NEW_LAYOUT))
    assert figures_of(group)["levels_top"].details == ("steps", "targets")
    assert figures_of(group)["levels_all"].details == ("steps/convert", "targets/gpu")
    assert texts_of(group, "loose_modules", "largest_folder") == ["1", "1"]


def test_a_folder_above_25_modules_is_reported(tmp_path: Path) -> None:
    files = {f"app/big/m{number}.py": "" for number in range(26)}
    group = measure_layout(write_code(tmp_path, files))
    assert figures_of(group)["large_folders"].details == ("app/big: 26 modules",)


def test_data_files_are_not_measured(tmp_path: Path) -> None:
    code = write_code(tmp_path, {"app/assets/model/train.py": "", "app/core.py": ""})
    assert [file.path for file in code.files] == ["app/core.py"]


def test_a_cycle_is_one_level_and_is_reported() -> None:
    graph = {"a": {"b"}, "b": {"c"}, "c": {"b", "d"}, "d": set[str]()}
    assert longest_chain(graph) == ["a", "b = c", "d"]
    assert list_cycles(graph) == ["b = c"]


def test_names_and_types(tmp_path: Path) -> None:
    files = {
        "app/a.py": """
            from typing import Any
            class Row: ...
            class _Own: ...
            def f(one: Any) -> list[Any]:
                for one in []:
                    found = one
                found: int = 1
        """,
        "app/b.py": "class Row: ...\nclass _Own: ...\nclass Other: ...",
    }
    code = write_code(tmp_path, files)
    group = measure_names(code)
    assert figures_of(group)["repeated_class_names"].details == ("Row: app/a.py, app/b.py",)
    assert texts_of(group, "locals_one", "locals_found", "locals_told") == ["1", "2", "0"]
    assert figures_of(group)["loose_types"].details == (f"3 in {code.line_count} lines",)


DOCUMENTED = '''
    import numpy as np

    def silent(x):
        raise ValueError

    def mentioned(x):
        """Check x. Raises ValueError."""
        raise ValueError(x)

    def stated(x):
        """Check x.

        Raises:
            ValueError: always.
        """
        raise ValueError(x)

    def again(x):
        try:
            x()
        except ValueError:
            raise

    def outer():
        def inner():
            raise ValueError
        return inner

    def _private():
        raise ValueError

    def take(values: np.ndarray) -> None:
        """Add."""

    def give() -> dict[str, np.ndarray]:
        """Return sums of shape [n]."""

    class Reader:
        def read(self):
            raise OSError

        def abstract(self):
            raise NotImplementedError
'''


def test_documentation(tmp_path: Path) -> None:
    group = measure_documentation(write_code(tmp_path, {"app/a.py": DOCUMENTED}))
    names = [label.split(" ")[1] for label in figures_of(group)["unstated_errors"].details]
    assert names == ["silent", "mentioned", "Reader.read"]
    assert texts_of(group, "unstated_errors", "unmentioned_errors") == ["3 of 4", "2 of 4"]
    assert texts_of(group, "docstring_sections", "unstated_shapes") == ["1 of 9", "1 of 2"]


def test_comments_on_lines_of_their_own(tmp_path: Path) -> None:
    text = '# Why.\n# More.\nx = 1  # beside\ny = "# text"\n# noqa: E501\n    \nz = """\n# text\n"""\n\n'
    group = measure_documentation(write_code(tmp_path, {"app/a.py": text}))
    assert texts_of(group, "own_line_comments") == ["200.0"]


STEPS: Files = {
    "app/steps/kinds.py": """
        from app.steps.shared import SHARED
        ALGEBRA = ("exact", *SHARED)
        KINDS = (kind(name="a", uses=("one", *ALGEBRA)), kind(name="b", uses=(*ALGEBRA, *("x", "y"))))
    """,
    "app/steps/shared.py": 'SHARED = ("core", "digest")\nOTHER = ("unused",)',
    "app/steps/derived.py": "class Step:\n    uses: tuple[str, ...] = ()",
}


def test_entries_of_uses(tmp_path: Path) -> None:
    group = measure_steps(write_code(tmp_path, STEPS), None)
    assert texts_of(group, "uses_entries", "uses_written", "step_commits") == ["9", "6", "not in git"]


def test_commits_of_step_declarations(tmp_path: Path) -> None:
    history = History(
        tuple(f"c{number}" for number in range(150)), {"app/kinds.py": ("c3", "c120"), "app/spec.py": ("c3",)}
    )
    group = measure_steps(write_code(tmp_path, STEPS), history)
    assert texts_of(group, "step_commits", "step_commits_recent", "step_commits_file") == ["2 of 150", "1", "2"]


def test_the_log_of_git_is_read_by_files() -> None:
    log = "commit a\n\napp/kinds.py\napp/spec.py\ncommit b\n\napp/kinds.py\n"
    assert parse_log(log) == {"app/kinds.py": ("a", "b"), "app/spec.py": ("a",)}


@pytest.mark.parametrize(
    ("text", "target", "named"),
    [
        ("EthosUTarget", "ethos_u", True),
        ("ethos-u55", "ethos_u", True),
        ("ethos_u_rules", "ethos_u", True),
        ("ETHOS_U", "ethos_u", True),
        ("ethosu", "ethos_u", False),
        ("input", "npu", False),
        ("the NPU's compiler", "npu", True),
        ("gpu_delegate", "gpu", True),
    ],
)
def test_what_names_a_target(text: str, target: str, named: bool) -> None:
    assert has_words(text, split_words(target)) is named


def test_files_that_name_a_target(tmp_path: Path) -> None:
    files = {
        "app/targets/gpu/rules.py": "",
        "app/targets/registry.py": "from app.targets.gpu import rules",
        "app/report.py": '"""Tables, also of the gpu."""\n# The gpu is left out.\nx = 1',
        "app/cli.py": 'NAMES = ["a GPU"]',
    }
    group = measure_steps(write_code(tmp_path, files, targets=("gpu",)), None)
    figure = figures_of(group)["target_gpu"]
    assert (figure.text, figure.details) == ("2 of 3", ("app/cli.py", "app/targets/registry.py"))


def test_modules_with_tests_of_their_name(tmp_path: Path) -> None:
    files = {
        **NEW_LAYOUT,
        "app/core.py": "",
        "app/report/rows.py": "",
        "tests/unit/test_core.py": "",
        "tests/unit/test_report_rows.py": "",
        "tests/unit/test_spec.py": "",  # says not of which
        "tests/unit/verify/test_spec.py": "",
    }
    figure = figures_of(measure_tests(write_code(tmp_path, files)))["untested_modules"]
    assert figure.details == ("app/steps/convert/spec.py", "app/targets/gpu/rules.py", "app/targets/registry.py")
    assert figure.text == "3 of 6"


def test_annotations_and_lengths_of_tests(tmp_path: Path) -> None:
    long = "def make_cases(x: int) -> None:\n" + "    x = 1\n" * 99
    files = {
        "app/a.py": "",
        "tests/cases.py": long,
        "tests/test_a.py": "def test_b(x: int) -> None:\n    x = 1\ndef test_c(x) -> None: ...\ndef helper(): ...",
    }
    group = measure_tests(write_code(tmp_path, files))
    assert texts_of(group, "annotated_functions", "annotated_tests") == ["50 %", "50 %"]
    assert texts_of(group, "longest_function", "longest_test", "long_functions") == ["100", "2", "1"]


def test_configuration(tmp_path: Path) -> None:
    files = {
        "app/config/schema_model.py": "class Source: ...\nclass Extra: ...",
        "app/config/mistakes.py": r"""
            import re
            from hydra._internal.hydra import Hydra
            KEY = re.compile(r"source\.(arguments|inputs)")
            TEXT = re.compile("could not be "
                r"converted to (?P<kind>\w+)")
            found = re.search(r"Invalid value '([^']*)'", TEXT)
        """,
        "app/core/recipe.py": "class Source: ...",
        "app/core/log.py": 'import re\nre.search("could not read", "")',
    }
    group = measure_configuration(write_code(tmp_path, files))
    figures = figures_of(group)
    assert figures["classes_in_both_models"].details == ("Source",)
    assert figures["hydra_internal"].details == ("app/config/mistakes.py",)
    assert [item.split(" ")[0] for item in figures["message_patterns"].details] == [
        "app/config/mistakes.py:5",
        "app/config/mistakes.py:7",
    ]


FLOW: Files = {
    "app/commands.py": """
        from app import pipeline
        from app.options import check
        def build(options):
            check(options.overrides)
            built = pipeline.run(options.overrides, 3)
            print(built)
        def plan(options):
            pipeline.other(options.overrides)
    """,
    "app/options.py": "def check(texts):\n    first = texts[0]\n    size = len(texts)",
    "app/pipeline.py": """
        from app.compose import Composer
        from app.show import show
        def run(words, limit):
            composer = Composer(list(words))
            return show(composer)
        def other(unread): ...
    """,
    "app/compose.py": """
        class Composer:
            def __init__(self, items):
                self.normal = [text for text in items if text]
                self.count = len(items)
    """,
    "app/show.py": "def show(made):\n    rest = made.normal[1:]\n    number = made.count\n    key = ' '.join(rest)",
}


def test_a_list_is_followed_through_calls_and_fields(tmp_path: Path) -> None:
    group = measure_value(write_code(tmp_path, FLOW))
    figures = figures_of(group)
    assert figures["value_names"].details == ("items", "normal", "rest", "texts", "words")
    assert figures["carrier_names"].details == ("composer", "items", "made", "normal", "rest", "texts", "words")
    assert len(figures["value_files"].details) == len(figures["carrier_files"].details) == 4
    assert figures["value_returns"].details == ("app/commands.py build: 1", "app/pipeline.py run: 1")


@pytest.mark.parametrize(
    ("body", "names"),
    [
        ("a = [*texts, 'x']\nb = a + []\nc = a or b", {"a", "b", "c"}),
        ("a, b = texts, 1\nc = (texts, 1)", {"a"}),
        ("for a in texts:\n    b = a", set[str]()),
        ("a = [b + 'x' if b else b for b in texts]\nc = [len(d) for d in texts]", {"a"}),
        ("a = {'x': texts}\nb = a['x']", set[str]()),
        ("a = inner(texts)\nb = inner([])", {"a"}),
        ("if (a := texts[1:]):\n    pass", {"a"}),
    ],
)
def test_what_is_the_list(tmp_path: Path, body: str, names: set[str]) -> None:
    lines = ["def build(options):", "    texts = options.overrides", *textwrap.indent(body, "    ").splitlines()]
    code = write_code(tmp_path, {"app/a.py": "\n".join([*lines, "def inner(given):", "    return given"])})
    held = set(figures_of(measure_value(code))["value_names"].details)
    assert held - {"texts", "given"} == names


def test_the_entry_may_be_a_module_of_its_own(tmp_path: Path) -> None:
    files = {
        "app/commands/build.py": "def run(options):\n    typed = options.overrides",
        "app/commands/plan.py": "def run(options):\n    other = options.overrides",
        "app/pipeline.py": "def build(overrides): ...",
    }
    group = measure_value(write_code(tmp_path, files))
    assert figures_of(group)["value_names"].details == ("typed",)


def test_a_package_without_the_entry_has_no_flow(tmp_path: Path) -> None:
    group = measure_value(write_code(tmp_path, OLD_LAYOUT))
    assert group.figures[0].value is None


def test_the_table_fits_80_columns(tmp_path: Path) -> None:
    code = write_code(tmp_path, {**OLD_LAYOUT, **STEPS, **FLOW})
    history = History(tuple(f"c{number}" for number in range(1000)), {})
    groups = measure_code.measure_all(code, history)
    table = format_table(["before123456", "working tree"], [groups, measure_code.measure_all(code, None)])
    assert max(map(len, table.splitlines())) <= 80
    assert all(figure.label in table for group in groups for figure in group.figures)


def test_a_table_of_revisions_with_different_figures() -> None:
    old = Group("Flow", (Figure("a", "files", 3, "3", "0"), Figure("b", "names", 9, "9")))
    new = Group("Flow", (Figure("a", "files", 1, "1", "0"),))
    lines = format_table(["old", "new"], [[old], [new]]).splitlines()
    assert lines[:5] == [
        "measured  old  new  wanted",
        "--------------------------",
        "Flow",
        "files       3    1       0",
        "names       9    -",
    ]


def test_details_and_json_name_what_was_counted() -> None:
    group = Group("Names", (Figure("a", "  classes", 1, "1", "0", ("Row: a.py",)),))
    assert format_details([group]) == "classes (1)\n  Row: a.py\n"
    assert make_json([group])["a"] == {
        "label": "classes",
        "value": 1,
        "text": "1",
        "wanted": "0",
        "details": ["Row: a.py"],
    }


def test_the_command_prints_and_writes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_code(tmp_path, OLD_LAYOUT)
    arguments = ["--repository", str(tmp_path), "--package", "app", "--targets", "gpu", "--json", str(tmp_path / "f")]
    assert measure_code.main(arguments) == 0
    printed = capsys.readouterr().out
    assert "modules loose at the top" in printed and "naming edgetpu" not in printed
    (written,) = json.loads((tmp_path / "f").read_text())
    assert (written["revision"], written["figures"]["loose_modules"]["value"]) == ("working tree", 4)


@pytest.mark.parametrize("text", ["def f(:", None])
def test_what_cannot_be_read_is_an_error(tmp_path: Path, text: str | None, capsys: pytest.CaptureFixture[str]) -> None:
    if text is not None:
        write_code(tmp_path, {"app/a.py": text})
    assert measure_code.main(["--repository", str(tmp_path), "--package", "app"]) == 2
    assert capsys.readouterr().err.startswith("measure_code: ")


def test_every_figure_is_defined_where_it_is_computed() -> None:
    paths = (Path(measure_code.__file__).parent / "code_figures").glob("*.py")
    functions = [
        node for path in paths for node in ast.parse(path.read_text()).body if isinstance(node, ast.FunctionDef)
    ]
    measuring = [function for function in functions if function.name.startswith("measure_")]
    assert measuring and all(ast.get_docstring(function) for function in measuring)

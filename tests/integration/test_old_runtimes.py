"""The table of runtimes against the real ones: every row's model is run again by each old runtime that installs here.

All models run in one process for each runtime. What cannot be installed is named in the summary; 2.14, which the
Python of Debian 12 runs, may not be missing on CI, nor may one whose Python is there.
"""

import json
import sys

import pytest
from measure_runtimes import CHOSEN, judge_outcome, run_models, write_models
from needs import leave_out, require
from old_runtimes import ALWAYS, OldRuntime, find_python, install_runtime, read_list
from runtime_rows import ALL_CASES, make_models, make_versions

from tflbuild.tflite.runtime_table import RIGHT, read_table

pytestmark = pytest.mark.heavy

RUNTIMES = read_list()


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    """(feature -> name of its model, the models, their folder, what this project's own runtime makes of them)."""
    chosen = json.loads(CHOSEN.read_text())
    names = set(chosen.values())
    versions = {name.rpartition("_version")[0] for name in names} & ALL_CASES.keys()
    rows = [row for row in make_models(names) if row.name in names]
    rows += [row for name in sorted(versions) for row in make_versions(ALL_CASES[name]) if row.name in names]
    folder = tmp_path_factory.mktemp("rows")
    models = write_models(rows, folder)
    assert set(models) == names
    return chosen, models, folder, run_models(sys.executable, folder, folder / "newest.pickle")


def test_every_row_has_a_model_that_this_runtime_runs(measured):
    chosen, _, _, newest = measured
    assert chosen.keys() == read_table().keys()
    assert {name for name, outcome in newest.items() if outcome.status != "ran"} == set()


@pytest.mark.parametrize("runtime", RUNTIMES, ids=[runtime.name for runtime in RUNTIMES])
def test_a_runtime_does_what_the_table_says(measured, runtime: OldRuntime):
    python = install_runtime(runtime)
    if runtime.name == ALWAYS or find_python(runtime) is not None:
        require(f"TFLite {runtime.name}", python is not None, f"{runtime.package} from PyPI")
    if python is None:
        leave_out(f"TFLite {runtime.name}", f"Python {' or '.join(runtime.pythons)}")
    chosen, models, folder, newest = measured
    outcomes = run_models(python, folder, folder / f"{runtime.name}.pickle")
    differ = {}
    for feature, name in chosen.items():
        expected = read_table()[feature].results[runtime.name]
        found = judge_outcome(outcomes[name], newest[name], models[name])
        # what is wrong here may crash elsewhere, but right is right and the rest is not
        if (found == RIGHT) is not (expected == RIGHT):
            differ[feature] = (expected, found, outcomes[name].text)
    assert differ == {}

"""What finds the jobs of a sweep, and what it is told: without building any."""

from dataclasses import replace
from pathlib import Path

import pytest
from frozen import resolved
from needs import require_module

from tflbuild.config import hydra_plugins
from tflbuild.config.composing.compose import Composer, compose
from tflbuild.config.composing.config_errors import KeyLocations
from tflbuild.config.composing.default_launcher import MissingObjectiveError
from tflbuild.core.objective import Objective
from tflbuild.core.recipe import Benchmark
from tflbuild.core.verdict import PROVEN, Verdict
from tflbuild.errors import GateError, MachineError, RecipeError, UsageError
from tflbuild.pipeline.build import VariantResult
from tflbuild.pipeline.preparation import PreparedBuild, RefusedVariant, check_objectives
from tflbuild.pipeline.sweep_batches import merge_batches, objective_values
from tflbuild.report.variant_summary import SweepRow

pytestmark = pytest.mark.usefixtures("empty_folder")
RECIPE = "+recipe=mobilenet_int8"
TOP1, BYTES = Objective("top1", "max"), Objective("bytes", "min")
AIMS = "sweep.objectives=[top1:max,bytes:min]"
SPACE = "quantization=none,int8,float16"


def optuna(*more):
    require_module("hydra_plugins.hydra_optuna_sweeper", "optuna")
    return Composer([RECIPE, "hydra/sweeper=optuna", "hydra.sweeper.sampler.seed=1", SPACE, *more])


def find(composer, answer, folder):
    """The batches that the sweeper asks for, and why it ended early; `answer` gives the value of a job."""
    asked = []

    def build(jobs):
        asked.append(jobs)
        return [answer(job) for job in jobs]

    return asked, hydra_plugins.find_jobs(composer, composer.find_plugins(), folder, build)


# the basic sweeper, the default


def test_a_sweep_is_one_batch_that_the_launcher_of_tflbuild_runs():
    drive = Composer([RECIPE, SPACE]).find_plugins()
    assert (drive.sweeper, drive.launcher, drive.config) == ("basic", "tflbuild", None)
    assert [len(batch) for batch in drive.batches] == [3]


def test_a_sweep_composes_no_base_that_no_job_needs():
    composer = Composer([RECIPE, "dataset.count=8,16"])
    drive = composer.find_plugins()
    for job in drive.batches[0]:
        composer.compose(job, shared=True)
    assert len(composer._bases) == 1


def test_a_recipe_may_say_what_is_swept_and_the_command_line_has_the_last_word():
    Path("recipes").mkdir()
    Path("recipes/net.yaml").write_text(
        "defaults: [mobilenet_int8]\nhydra:\n  sweeper:\n    params:\n      quantization: none,int8\n"
    )
    assert [one.variant for one in compose(["+recipe=net"], multirun=True)] == [
        "quantization=none",
        "quantization=int8",
    ]
    told = compose(["+recipe=net", "quantization=float16", "dataset.count=8,9"], multirun=True)
    assert [one.variant for one in told] == [f"dataset.count={count},quantization=float16" for count in (8, 9)]
    assert compose(["+recipe=net"])[0].variant == "default"


def test_batches_are_as_large_as_asked_for():
    drive = Composer([RECIPE, SPACE, "hydra.sweeper.max_batch_size=2"]).find_plugins()
    assert [len(batch) for batch in drive.batches] == [2, 1]
    assert all("hydra" not in text for batch in drive.batches for job in batch for text in job)


@pytest.mark.parametrize(
    ("told", "what"),
    [
        ("hydra.verbose=true", "not a setting of tflbuild"),
        ("hydra.sweep.dir=x", "not a setting of tflbuild"),
        ("hydra/callbacks=x", "not a setting of tflbuild"),
        ("hydra/sweeper=basic,optuna", "several values"),
        ("hydra.sweeper.max_batch_size=1,2", "several values"),
        ("hydra.sweeper.max_batch_size=0", "at least 1"),
        ("hydra.sweeper.params={a:1}", "in a recipe only"),
        ("quantization.calibration.percentile=interval(99,100)", "infinitely many values"),
        ("hydra/sweeper=optna", "no option of the group"),
        ("hydra.sweeper.colour=1", "not a key of"),
    ],
)
def test_a_setting_that_would_do_nothing_is_refused(told, what):
    with pytest.raises((UsageError, RecipeError), match=what) as caught:
        Composer([RECIPE, told]).find_plugins()
    assert told in caught.value.where


@pytest.mark.parametrize("told", ["hydra/sweeper=basic", "hydra/launcher=basic", "hydra.sweeper.max_batch_size=2"])
def test_without_a_sweep_there_is_nothing_to_drive(told):
    with pytest.raises(UsageError, match="needs -m"):
        compose([RECIPE, told])


@pytest.mark.parametrize("section", ["verbose: true", "sweep: {dir: x}", "job: {chdir: true}"])
def test_a_recipe_may_set_no_more_of_hydra(section):
    Path("recipes").mkdir()
    Path("recipes/net.yaml").write_text(f"defaults: [mobilenet_int8]\nhydra:\n  {section}\n")
    with pytest.raises(RecipeError, match="not a setting of tflbuild") as caught:
        compose(["+recipe=net"])
    assert caught.value.where.startswith("recipes/net.yaml:3")


def write_files(**files):
    for name, text in files.items():
        file = Path(name.replace("__", "/") + ".yaml")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)


@pytest.mark.parametrize(
    ("header", "entry"),
    [
        ("@package hydra.job", "x"),
        ("plain", "x@hydra.job"),
    ],
)
def test_no_file_sets_the_environment_of_a_launcher_or_what_it_calls(header, entry):
    """Whichever way it gets among Hydra's own settings."""
    write_files(
        recipes__net=f"defaults: [/own/{entry}, mobilenet_int8]\n".replace("@", "@_global_."),
        conf__own__x=f"# {header}\nenv_set: {{LD_PRELOAD: own.so}}\n",
    )
    with pytest.raises(RecipeError, match=r"'hydra\.job\.env_set.LD_PRELOAD' is not a setting of tflbuild"):
        Composer(["+recipe=net", "hydra/launcher=basic", "quantization=none,int8"]).find_plugins()


@pytest.mark.parametrize(
    ("chosen", "key", "value"),
    [
        ("sweeper=optuna", "sweeper.storage", "sqlite:///own.db"),  # studies may hold pickles
        ("launcher=submitit_slurm", "launcher.setup", "[curl example.com]"),
        ("launcher=submitit_slurm", "launcher.additional_parameters", "{wrap: id}"),
        ("launcher=submitit_slurm", "launcher.partition", '"cpu\\nid"'),
        ("launcher=submitit_local", "launcher.submitit_folder", "/tmp/own"),
        ("launcher=joblib", "launcher.temp_folder", "/tmp/own"),
        ("launcher=joblib", "launcher.pre_dispatch", "9**9"),
    ],
)
def test_what_reaches_out_is_typed_and_not_taken_from_a_file(chosen, key, value):
    require_module("hydra_plugins.hydra_optuna_sweeper", "optuna")
    section, _, name = key.partition(".")
    typed = ["+recipe=net", f"hydra/{chosen}", AIMS, "quantization=none,int8"]
    write_files(recipes__net=f"defaults: [mobilenet_int8]\nhydra: {{{section}: {{{name}: {value}}}}}\n")
    with pytest.raises(RecipeError, match=rf"'hydra.{key}(\.\w+)?' may not be set in a file"):
        Composer(typed).find_plugins()
    write_files(recipes__net="defaults: [mobilenet_int8]\n")
    if "\\n" not in value and not value.startswith("{"):
        assert Composer([*typed, f"hydra.{key}={value}"]).find_plugins().config.hydra[section][name]


def test_a_file_of_the_project_that_hides_a_plugin_sets_no_more():
    require_module("hydra_plugins.hydra_joblib_launcher", "joblib")
    write_files(conf__hydra__launcher__joblib="temp_folder: /tmp/own\n")
    with pytest.raises(RecipeError, match=r"'hydra\.launcher\.temp_folder' may not be set in a file"):
        Composer([RECIPE, "hydra/launcher=joblib", "quantization=none,int8"]).find_plugins()


def test_a_recipe_sets_what_does_no_harm():
    require_module("hydra_plugins.hydra_optuna_sweeper", "optuna")
    sweeper = "{n_trials: 3, study_name: net, sampler: {seed: 1}, search_space: null}"
    write_files(
        recipes__net=f"defaults: [mobilenet_int8]\nhydra: {{sweeper: {sweeper}, launcher: {{n_jobs: 2, prefer: x}}}}\n"
    )
    drive = Composer(["+recipe=net", "hydra/sweeper=optuna", "hydra/launcher=joblib", AIMS, SPACE]).find_plugins()
    assert drive.config.hydra.sweeper.n_trials == 3 and drive.config.hydra.launcher.n_jobs == 2


def test_of_several_recipes_none_may_say_how_to_sweep():
    Path("recipes").mkdir()
    Path("recipes/net.yaml").write_text("defaults: [mobilenet_int8]\nhydra: {sweeper: {max_batch_size: 1}}\n")
    for recipes in ("net,mobilenet_int8", "mobilenet_int8,net"):
        with pytest.raises(RecipeError, match="has several recipes"):
            compose([f"+recipe={recipes}"], multirun=True)


@pytest.mark.parametrize(
    ("told", "package"), [("hydra/launcher=ray", "hydra-ray-launcher"), ("hydra/sweeper=optuna", "tflbuild[optuna]")]
)
def test_a_plugin_that_is_not_installed_is_named_by_what_brings_it(told, package, monkeypatch):
    from hydra.core.config_store import ConfigStore

    group, _, option = told.partition("=")
    monkeypatch.delitem(ConfigStore.instance().repo["hydra"][group.partition("/")[2]], f"{option}.yaml", raising=False)
    with pytest.raises(MachineError, match="not installed") as caught:
        Composer([RECIPE, told]).find_plugins()
    assert package in caught.value.next_step and caught.value.exit_code == 4


# Optuna


def test_it_is_told_the_directions_of_the_objectives(tmp_path):
    values = {"none": (0.9, 500.0), "float16": (0.9, 250.0), "int8": (0.8, 100.0)}
    composer = optuna(AIMS, "hydra.sweeper.n_trials=6", "hydra.sweeper.n_jobs=3")

    def answer(job):
        return values[next(text for text in job if text.startswith("quantization=")).partition("=")[2]]

    asked, stopped = find(composer, answer, tmp_path)
    assert stopped is None and [len(batch) for batch in asked] == [3, 3]
    assert all(AIMS.partition("=")[0] in " ".join(job) for batch in asked for job in batch)
    seen = {answer(job) for batch in asked for job in batch}
    best = {values for values in seen if not any(o[0] >= values[0] and o[1] <= values[1] for o in seen - {values})}
    text = (tmp_path / "optimization_results.yaml").read_text()
    assert all((f"- {value[0]}" in text and f"- {value[1]}" in text) == (value in best) for value in seen)


def test_a_variant_without_a_value_is_told_as_failed_and_ends_nothing(tmp_path):
    def answer(job):
        return MissingObjectiveError("gate failed") if "quantization=int8" in job else 500.0

    composer = optuna("sweep.objectives=[bytes:min]", "hydra.sweeper.n_trials=8")
    asked, stopped = find(composer, answer, tmp_path)
    jobs = [job for batch in asked for job in batch]
    assert stopped is None and len(jobs) == 8
    assert any("quantization=int8" in job for job in jobs)
    assert "int8" not in (tmp_path / "optimization_results.yaml").read_text()


def test_a_sweep_in_which_all_fail_ends_as_usual(tmp_path):
    composer = optuna("sweep.objectives=[bytes:min]", "hydra.sweeper.n_trials=4")
    asked, stopped = find(composer, lambda job: MissingObjectiveError("no"), tmp_path)
    assert stopped is None and len(asked) == 2


def test_a_failure_rate_that_is_asked_for_ends_the_sweep(tmp_path):
    composer = optuna("sweep.objectives=[bytes:min]", "hydra.sweeper.n_trials=8", "hydra.sweeper.max_failure_rate=0.4")
    asked, stopped = find(composer, lambda job: MissingObjectiveError("it failed"), tmp_path)
    assert len(asked) == 1 and "it failed" in stopped.why


def test_what_goes_wrong_in_building_is_not_taken_for_the_sweepers_fault(tmp_path):
    def answer(job):
        raise MachineError("the disk is full")

    with pytest.raises(MachineError, match="the disk is full"):
        find(optuna("sweep.objectives=[bytes:min]"), answer, tmp_path)


@pytest.mark.parametrize(
    ("told", "error"),
    [
        ([], "no objective"),
        (["sweep.objectives=[topp:max]"], "no figure"),
        (["sweep.objectives=[top1:max]", "hydra.sweeper.direction=minimize"], "direction"),
        ([AIMS, "hydra.sweeper.direction=[minimize,maximize]"], "direction"),
        ([AIMS, "hydra.sweeper.direction=maximize"], "direction"),
        ([AIMS, "+hydra.sweeper.colour=1"], "set up"),
        ([AIMS, "hydra.sweeper.max_failure_rate=2"], "set up"),
        ([AIMS, "hydra.sweeper.storage=nosuch://x"], "cannot start"),
    ],
)
def test_what_it_cannot_begin_with_is_refused(told, error, tmp_path):
    with pytest.raises(RecipeError, match=error):
        find(optuna(*told), lambda job: 0.0, tmp_path)


@pytest.mark.parametrize(
    "told", [[AIMS, "hydra.sweeper.direction=[maximize,minimize]"], ["sweep.objectives=[bytes:min]"]]
)
def test_a_direction_that_agrees_is_no_mistake(told, tmp_path):
    value = (0.5, 9.0) if len(told) == 2 else 9.0
    asked, stopped = find(optuna(*told, "hydra.sweeper.n_trials=1"), lambda job: value, tmp_path)
    assert stopped is None and len(asked) == 1


def test_its_jobs_are_not_known_beforehand():
    require_module("hydra_plugins.hydra_optuna_sweeper", "optuna")
    with pytest.raises(UsageError, match="not known beforehand"):
        compose([RECIPE, "hydra/sweeper=optuna", SPACE, AIMS], multirun=True)


def test_objectives_are_those_of_the_recipe():
    require_module("hydra_plugins.hydra_optuna_sweeper", "optuna")
    Path("recipes").mkdir()
    Path("recipes/net.yaml").write_text(
        "defaults: [mobilenet_int8, override /hydra/sweeper: optuna]\nsweep: {objectives: ['bytes:min']}\n"
    )
    drive = Composer(["+recipe=net", SPACE]).find_plugins()
    assert drive.sweeper == "optuna" and drive.batches is None
    assert hydra_plugins.objectives_of(drive, KeyLocations()) == (BYTES,)


# what a sweeper is told of an outcome


def outcome(**more):
    manifest = {
        "artifact": {"bytes": 1000, "gzip_bytes": 800},
        "metrics": {"verify": {"outputs": {"o": dict.fromkeys(("max_abs_error", "rmse", "cosine", "snr_db"), 1.0)}}},
    }
    manifest["metrics"]["verify"]["classification"] = {"top1": 0.9}
    return replace(VariantResult(SweepRow("v", "ok", manifest), "", ran=True), **more)


def test_a_variant_is_worth_its_figures_in_the_order_of_the_objectives():
    assert objective_values(outcome(), (TOP1, BYTES)) == (0.9, 1000.0)
    assert objective_values(outcome(), (BYTES, TOP1)) == (1000.0, 0.9)
    assert objective_values(outcome(), (BYTES,)) == 1000.0
    assert objective_values(outcome(), ()) is None


@pytest.mark.parametrize(
    "bad",
    [
        {"error": GateError("missed")},
        {"row": SweepRow("v", "failed in convert", None), "error": MachineError("x")},
        {"row": SweepRow("v", "refused", None)},
    ],
)
def test_what_did_not_pass_is_worth_nothing(bad):
    assert isinstance(objective_values(outcome(**bad), (BYTES,)), MissingObjectiveError)


def test_what_was_not_measured_is_worth_nothing():
    found = objective_values(outcome(), (BYTES, Objective("latency_ms", "min")))
    assert isinstance(found, MissingObjectiveError) and "latency_ms" in str(found)


def test_a_variant_is_worth_what_targets_measured():
    verdict = Verdict(target="tflm", proof=PROVEN, how="run", ops=3, on_delegate=3, figures={"arena_bytes": 9000.0})
    made = outcome()
    judged = replace(
        made, row=replace(made.row, manifest={**made.row.manifest, "targets": {"tflm": verdict.as_json()}})
    )
    aims = (Objective("tflm.arena_bytes", "min"), Objective("tflm.on_delegate", "max"), BYTES)
    assert objective_values(judged, aims) == (9000.0, 3.0, 1000.0)
    assert isinstance(objective_values(made, aims), MissingObjectiveError)


@pytest.mark.parametrize(
    ("told", "differs"),
    [
        (("target=tflm,cpu", "hydra.sweeper.max_batch_size=1"), True),
        (("quantization=none,int8", "hydra.sweeper.max_batch_size=1"), False),
        (("target=tflm,cpu",), False),  # all jobs are one batch
        (("+recipe=net", "hydra.sweeper.max_batch_size=1"), True),
    ],
)
def test_a_batch_decides_nothing_where_what_is_measured_is_swept(told, differs):
    Path("recipes").mkdir()
    params = "{quantization: 'none,int8', benchmark: 'none,host'}"
    Path("recipes/net.yaml").write_text(f"defaults: [mobilenet_int8]\nhydra: {{sweeper: {{params: {params}}}}}\n")
    composer = Composer(list(told) if "+recipe=net" in told else [RECIPE, *told])
    assert hydra_plugins.may_differ(composer, composer.find_plugins()) is differs


def test_a_later_batch_may_measure_less_than_the_first():
    aims = (Objective("latency_ms", "min"),)
    timed, plain = (
        PreparedBuild(
            (resolved(objectives=aims, benchmark=benchmark),), (KeyLocations(),), None, {}, frozenset(), {}, None
        )
        for benchmark in (Benchmark(kind="host"), Benchmark(kind="none"))
    )
    check_objectives([timed, plain])
    check_objectives([plain], complete=False)
    other = replace(plain, resolved=(resolved(),))
    with pytest.raises(RecipeError, match="different objectives"):
        check_objectives([plain, other], complete=False)
    with pytest.raises(RecipeError, match="no variant of this sweep measures"):
        check_objectives([plain])


def test_batches_are_counted_on():
    no = RefusedVariant("v", (), RecipeError("no"))
    empty = PreparedBuild((), (), None, {"a": [1]}, frozenset({"A"}), {0: no}, None)
    both = merge_batches(
        [empty, replace(empty, read={"b": None}, environment=frozenset({"B"}), refused={0: no, 1: no})]
    )
    assert list(both.refused) == [0, 1, 2]
    assert both.read == {"a": [1], "b": None} and both.environment == {"A", "B"}

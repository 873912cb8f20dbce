import os
from dataclasses import fields
from pathlib import Path

import pytest
import yaml

from tflbuild.config.composing.compose import Composer, compose
from tflbuild.config.composing.config_errors import KeyLocations
from tflbuild.config.composing.yaml_keys import find_line
from tflbuild.config.freezing.freeze import freeze
from tflbuild.config.reference.generated_texts import pages
from tflbuild.config.schema import recipe_schema as schema
from tflbuild.errors import RecipeError, UsageError
from tflbuild.locations import find_shipped_folder

RECIPES = sorted(path.stem for path in find_shipped_folder("recipes").glob("*.yaml"))
OPTIONS = [(group, option) for group, options in schema.OPTIONS.items() for option in options]
RECIPE = "+recipe=mobilenet_int8"


pytestmark = pytest.mark.usefixtures("empty_folder")


def one(*overrides):
    (composed,) = compose(list(overrides))
    return composed


@pytest.mark.parametrize("recipe", RECIPES)
def test_every_shipped_recipe_composes_and_freezes(recipe):
    assert freeze(one(f"+recipe={recipe}")).name == recipe


@pytest.mark.parametrize(("group", "option"), OPTIONS)
def test_every_option_composes_to_its_own_schema(group, option):
    required = {"dataset": ["dataset.path=x"], "verify": ["verify.dataset.path=x"]}
    required |= {"source hub": ["source.handle=x"], "source function": ["source.call=x:y"]}
    required |= {"dataset callable": ["dataset.call=x:y"], "dataset tfds": ["dataset.path=x", "dataset.split=y"]}
    settings = required.get(f"{group} {option}", required.get(group, []))
    composed = one("source.path=x", f"{group}={option}", *settings)
    made = getattr(composed.build, group)
    if group == "target":
        assert {name: type(node) for name, node in made.items() if name != "gates"} == (
            {} if option == "none" else {option: schema.OPTIONS[group][option]}
        )
    else:
        assert type(made) is schema.OPTIONS[group][option]


@pytest.mark.parametrize(("group", "option"), OPTIONS)
def test_every_option_in_conf_names_a_schema(group, option):
    config = yaml.safe_load((find_shipped_folder("conf") / group / f"{option}.yaml").read_text())
    if not fields(schema.OPTIONS[group][option]):
        assert config is None
        return
    assert config["defaults"][0] == f"/schema/{group}/{option}@_here_"


def test_conf_has_no_option_without_a_schema():
    files = {(path.parent.name, path.stem) for path in find_shipped_folder("conf").glob("*/*.yaml")}
    assert files == set(OPTIONS)


def test_generated_files_are_up_to_date():
    stale = [path.name for path, text in pages().items() if path.read_text() != text]
    assert stale == [], "run: python -m tflbuild.config.reference --write"


def test_every_key_is_explained():
    text = next(text for path, text in pages().items() if path.name == "reference.md")
    rows = [line.strip("|").split("|") for line in text.splitlines() if line.startswith("| `")]
    assert len(rows) > 300 and [row[0] for row in rows if not row[-1].strip()] == []


def test_the_default_recipe_says_what_it_always_said():
    recipe = freeze(one(RECIPE))
    assert (recipe.quantization.scheme, recipe.quantization.input_type) == ("int8", "int8")
    assert recipe.quantization.calibration.method == "min_max"
    assert recipe.quantization.calibration.kernels == "fast"
    assert recipe.signature.inputs[0].shape == (1, 28, 28, 1)
    assert recipe.verify.gates == (("top1_drop", 0.005),)


@pytest.mark.parametrize(
    ("overrides", "variant"),
    [
        ([], "default"),
        (["quantization=float16"], "quantization=float16"),
        (["verify.top_k=3", "quantization=float16"], "quantization=float16,verify.top_k=3"),
        (["output_root=x", "name=y"], "default"),
    ],
)
def test_a_variant_is_named_by_what_tells_it_apart(overrides, variant):
    assert one(RECIPE, *overrides).variant == variant


DATASET_K = ["dataset=callable", "dataset.call=a:b", "+dataset.arguments.k=a"]
K_TEXT = "+dataset.arguments.k=a+b"


def test_names_that_no_folder_can_have_are_made_safe_and_stay_apart():
    names = {one(RECIPE, f"dataset.path={path}").variant for path in ("a/b.npz", "a:b.npz", "x" * 300)}
    assert len(names) == 3
    assert all("/" not in name and len(name) <= 100 for name in names)


def test_a_sweep_multiplies_and_drops_repeats():
    composed = compose([RECIPE, "quantization=none,int8,int8", "verify.top_k=range(1,3)"], multirun=True)
    assert [one.variant for one in composed] == [
        f"quantization={scheme},verify.top_k={k}" for scheme in ("none", "int8") for k in (1, 2)
    ]


@pytest.mark.parametrize(
    ("overrides", "others"),
    [
        (["verify.top_k=3", "verify.top_k=5"], ["verify.top_k=5", "verify.top_k=3"]),
        (["opset.deny=[a+b]"], ["opset.deny=[a,b]"]),
        (["opset.deny=['a,opset.select_tf=true']"], ["opset.deny=[a]", "opset.select_tf=true"]),
        (["dataset=callable", "dataset.call=a:b", "+dataset.arguments.k=[a]"], DATASET_K),
        (["dataset=callable", "dataset.call=a:b", "+dataset.arguments.k=[a,b]"], [*DATASET_K[:2], K_TEXT]),
        (
            ["verify.gates={snr_db:30}", "verify.gates.snr_db=40"],
            ["verify.gates.snr_db=40", "verify.gates={snr_db:30}"],
        ),
    ],
)
def test_variants_that_differ_have_folders_of_their_own(overrides, others):
    assert one(RECIPE, *overrides).variant != one(RECIPE, *others).variant


def test_a_key_that_is_set_again_counts_once_in_the_name():
    assert one(RECIPE, "verify.top_k=3", "quantization=float16", "verify.top_k=5").variant == (
        "quantization=float16,verify.top_k=5"
    )


def test_several_values_that_a_later_override_replaces_are_refused():
    with pytest.raises(UsageError, match="is set again after its several values"):
        compose([RECIPE, "verify.top_k=1,2", "verify.top_k=5"], multirun=True)


SWEPT = [
    ["quantization=int8", "dataset.count=8"],
    ["dataset.count=8", "quantization=int8"],
    ["quantization=float16", "verify.gates.top1=0.5", "~benchmark"],
    ["dataset@verify.dataset=synthetic", "verify.dataset.count=4", "verify.dataset.high=2"],
    ["quantization=auto", "quantization.budget={snr_db:20}", "++quantization.budget.outputs.probs.cosine=0.9"],
    ["dataset=callable", "dataset.call=a.py:b", "+dataset.arguments.k=1", "+dataset.arguments.l=[1,2]"],
    ["++signature.inputs.image.shape=[1,28,28,1]", "signature.batch=1", "source.path='a b'"],
    [
        "target=[cpu,gpu]",
        "target.cpu.threads=${oc.env:THREADS,3}",
        "target.gates.partitions=1",
        "name=${quantization.scheme}",
        "hydra.verbose=true",
    ],
    ["optimize=qat", "dataset@optimize.dataset=npz", "optimize.dataset.path=x", "optimize.epochs=2"],
    ["converter.unfold_batchmatmul=true", "source.allow=[a]", "output_root=x"],
]


@pytest.mark.parametrize("told", SWEPT, ids=lambda told: told[0])
def test_a_job_of_a_sweep_composes_as_it_does_alone(told):
    composer = Composer([RECIPE, *told])
    alone = composer.compose(composer.normal, shared=False)
    first, again = (composer.compose(composer.normal, shared=True) for _ in range(2))
    assert first == again == alone


@pytest.mark.parametrize(
    "wrong", ["quantization.scheme=5", "dataset.count=x", "dataset.colour=1", "dataset.count=${oc.env:NONE_SUCH}"]
)
def test_a_job_of_a_sweep_is_refused_as_it_is_alone(wrong):
    def refusal(*told, multirun):
        with pytest.raises(RecipeError) as caught:
            [freeze(one) for one in compose([RECIPE, *told], multirun=multirun)]
        return str(caught.value)

    assert refusal(wrong, "verify.top_k=1,2", multirun=True) == refusal(wrong, multirun=False)


def test_a_local_recipe_comes_before_the_shipped_one():
    Path("recipes").mkdir()
    Path("recipes/mobilenet_int8.yaml").write_text("source: {path: mine.keras}\n")
    assert one(RECIPE).build.source.path == "mine.keras"


def test_a_projects_own_options_are_found():
    Path("conf/dataset").mkdir(parents=True)
    Path("conf/dataset/faces.yaml").write_text("defaults: [/schema/dataset/npz@_here_, _self_]\npath: faces.npz\n")
    assert one("source.path=x", "dataset=faces").build.dataset.path == "faces.npz"


def test_the_environment_that_is_read_is_known(monkeypatch):
    monkeypatch.setenv("MODEL", "x.keras")
    composed = one("source.path=${oc.env:MODEL}")
    assert composed.environment == ("MODEL", "TFLBUILD_PUSH", "TFLBUILD_REMOTE")
    assert composed.build.source.path == "x.keras"


def test_a_nested_key_has_a_line(tmp_path):
    file = tmp_path / "r.yaml"
    file.write_text("# words\nsource:\n  path: x\nverify: {gates: {top1: 1}}\n")
    assert [find_line(file, key) for key in ("source.path", "verify.gates.top1", "source.missing", "other")] == [
        3,
        4,
        2,
        None,
    ]


def test_a_number_that_no_json_has_is_refused():
    with pytest.raises(RecipeError, match="finite"):
        freeze(one(RECIPE, "verify.gates.rmse=nan"))
    with pytest.raises(RecipeError, match="finite"):
        freeze(one(RECIPE, "dataset.scale=inf"))


@pytest.mark.parametrize("override", ["+foo.bar=1", "+foo=1", "+dataset.colour=red", "+verify.gates.speed=1"])
def test_a_key_that_was_added_by_force_is_refused(override):
    with pytest.raises(RecipeError, match=r"is neither a group nor a key|is not a key"):
        one(RECIPE, override)


def test_of_what_a_group_was_told_the_last_is_what_counts():
    told = KeyLocations(overrides=("dataset.path=a", "dataset.path=b", "dataset.seed=1", "dataset.path=c"))
    assert told.find("dataset") == "command line: dataset.path=c"


BOMB = "name: &a0 [x]\n" + "".join(f"k{n}: &a{n} [*a{n - 1}, *a{n - 1}]\n" for n in range(1, 40))


@pytest.mark.parametrize(
    ("folder", "overrides"), [("recipes", ["+recipe=x"]), ("conf/verify", ["source.path=x", "verify=x"])]
)
@pytest.mark.parametrize(
    ("content", "why"),
    [
        (BOMB, "more than 10,000 values"),
        ("name: " + "[" * 1000 + "]" * 1000, "levels deep"),
        ("0x10", "must be a mapping"),
        ("name: !!python/name:os.system x", "is a tag"),
        ('name: "\\ud800"', "surrogate"),
        (os.mkfifo, "a pipe"),
        (lambda path: path.symlink_to("/dev/zero"), "a device"),
    ],
)
def test_a_page_of_a_strangers_is_refused_with_its_place(folder, overrides, content, why):
    file = Path(folder, "x.yaml")
    file.parent.mkdir(parents=True)
    content(file) if callable(content) else file.write_text(content)
    with pytest.raises(RecipeError) as refused:
        one(*overrides)
    assert why in refused.value.why and str(file) in refused.value.where


def test_interpolations_in_a_recipe_cannot_multiply():
    Path("recipes").mkdir()
    more = "".join(f"  v{n}: ${{.v{n + 1}}}${{.v{n + 1}}}\n" for n in range(40))
    Path("recipes/x.yaml").write_text(f"source:\n  path: x\n  arguments:\n{more}  v40: x\n".replace("  v", "    v"))
    with pytest.raises(RecipeError) as refused:
        one("+recipe=x", "source=function", "source.call=x:y")
    assert "too much text" in refused.value.what

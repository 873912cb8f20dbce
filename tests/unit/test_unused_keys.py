"""Nothing that is declared is dropped: every key of every option of every group, under every other option."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest

from tflbuild.config.composing.compose import compose
from tflbuild.config.composing.declared_keys import DeclaredKey, belongs_to_other
from tflbuild.config.composing.unused_keys import find_unused_keys, note_unused_keys
from tflbuild.config.freezing.freeze import freeze
from tflbuild.config.schema import recipe_schema as schema
from tflbuild.config.schema.schema_optimize import OptimizeStep
from tflbuild.errors import RecipeError

pytestmark = pytest.mark.usefixtures("empty_folder")

SOURCE = "source: {path: net.keras}\n"
PLACES = {
    "source": "source",
    "optimize": "optimize",
    "quantization": "quantization",
    "dataset": "dataset",
    "verify": "verify",
    "benchmark": "benchmark",
    "executor": "executor",
}
NAMES = {"kind", "scheme", "steps"}  # what an option is called by itself, and what decides of the others


def keys_nothing_reads():
    """(group, option, key, value) for each key that an option has no use for and another one has."""
    for group, place in PLACES.items():
        for option, kind in schema.OPTIONS[group].items():
            for other, having in schema.OPTIONS[group].items():
                for spec in fields(having):
                    lacks = spec.name not in {one.name for one in fields(kind)}
                    unused = lacks or spec.name in getattr(kind, "unused", ())
                    if not unused or spec.name in NAMES or spec.name in getattr(having, "unused", ()):
                        continue
                    yield group, option, f"{place}.{spec.name}", other


CASES = {(group, option, key): other for group, option, key, other in keys_nothing_reads()}
PRUNING = ("optimize.sparsity", "optimize.pattern")


def test_the_schema_has_many_such_keys():
    assert {group for group, _, _ in CASES} == set(PLACES)
    assert len(CASES) > 150


def freeze_all(*overrides, multirun=False):
    """Compose and freeze, as a build does; the refusal where there is one."""
    try:
        composed = compose(list(overrides), multirun=multirun)
        for one in composed:
            freeze(one)
    except RecipeError as error:
        return error
    return composed


@pytest.mark.parametrize(("group", "option", "key"), CASES, ids=lambda value: value)
def test_a_key_that_an_option_does_not_read_is_found(group, option, key):
    """Without Hydra: the rule itself, and what the loader takes out of a recipe's file before Hydra would refuse it."""
    kind = schema.OPTIONS[group][option]
    build = schema.RecipeConfig(source=schema.KerasSource(path="x"), quantization=schema.Int8Quantization())
    setattr(build, group, kind())
    lacks = key.rpartition(".")[2] not in {spec.name for spec in fields(kind)}
    assert belongs_to_other(key, {group: kind}) == lacks
    (unread,) = find_unused_keys(build, [DeclaredKey(key, file=True, set_aside=lacks)])
    assert unread.key == key and key.rpartition(".")[2] in unread.what and unread.next_step
    other = schema.OPTIONS[group][CASES[group, option, key]]
    setattr(build, group, other(steps=[OptimizeStep.prune]) if key in PRUNING else other())
    assert find_unused_keys(build, [DeclaredKey(key, file=True)]) == []


SWEPT = [
    ("source=keras,saved_model", "source.tags=[serve]", ["source.path=x"]),
    ("quantization=none,int8", "quantization.input_type=uint8", ["source.path=x", "dataset=synthetic"]),
    ("quantization=float16,int8", "quantization.granularity=per_tensor", ["source.path=x", "dataset=synthetic"]),
    ("quantization=float16,int8", "quantization.algorithm=mse", ["source.path=x", "dataset=synthetic"]),
    ("dataset=npz,synthetic", "dataset.high=2", ["source.path=x", "dataset.path=x", "quantization=int8"]),
    ("benchmark=none,host", "benchmark.runs=30", ["source.path=x"]),
    ("verify=none,parity", "verify.gates.snr_db=30", ["source.path=x", "verify.dataset.path=x"]),
    ("optimize=none,prune", "optimize.epochs=3", ["source.path=x", "optimize.dataset={path:x,label:y}"]),
    ("target=none,cpu", "target.gates.fallback_ops=0", ["source.path=x"]),
    ("target=gpu,cpu", "target.cpu.threads=2", ["source.path=x"]),
    (
        "quantization.engine=litert,converter",
        "converter._experimental_disable_per_channel=true",
        ["source.path=x", "quantization=dynamic_int8"],
    ),
]


@pytest.mark.parametrize(("choices", "key", "required"), SWEPT, ids=lambda value: str(value))
def test_a_key_that_another_variant_of_a_sweep_reads_is_kept_for_it_and_noted(choices, key, required):
    without, having = freeze_all(choices, key, *required, multirun=True)
    name = key.partition("=")[0]
    assert name in {one.key for one in without.unused_keys} and name not in {one.key for one in having.unused_keys}
    notes = note_unused_keys([without.unused_keys, having.unused_keys])
    assert notes and len({note.split("'")[1] for note in notes}) == len(notes)


# the recipe as it is written counts as a variant


def write_recipe(text):
    Path("recipes").mkdir(exist_ok=True)
    Path("recipes/net.yaml").write_text(text)


FULL = """\
defaults:
  - override /quantization: int8
  - override /dataset: npz
  - override /verify: classification
  - override /dataset@verify.dataset: image_folder
  - override /optimize: prune
  - override /benchmark: host
  - override /target: cpu
source: {path: net.keras}
quantization: {input_type: uint8, calibration: {method: percentile, percentile: 99.9}, engine: litert}
dataset: {path: a.npz, scale: 1.0}
verify:
  dataset: {path: images, label: folder, classes: [a, b]}
  top_k: 3
  gates: {top1_drop: 0.01, bytes: 1000, outputs: {probs: {cosine: 0.9}}}
optimize: {epochs: 3, sparsity: 0.7, dataset: {path: b.npz, label: y}}
benchmark: {warmup: 3}
target: {cpu: {threads: 2}, gates: {fallback_ops: 0}}
"""


@pytest.mark.parametrize(
    ("choice", "roots"),
    [
        ("quantization=float16", {"quantization.input_type", "quantization.calibration.method", "dataset"}),
        ("quantization=none", {"quantization.input_type", "quantization.calibration.percentile", "dataset"}),
        ("verify=none", {"verify.dataset", "verify.top_k", "verify.gates.top1_drop"}),
        ("optimize=none", {"optimize"}),
        ("optimize=qat", {"optimize.sparsity"}),
        ("optimize=prune_2_4", {"optimize.sparsity"}),
        ("benchmark=none", {"benchmark"}),
        ("benchmark=android", {"benchmark.warmup"}),
        ("target=none", {"target.cpu", "target.gates.fallback_ops"}),
        ("target=gpu", {"target.cpu"}),
        ("quantization.calibration.method=min_max", {"quantization.calibration.percentile"}),
    ],
)
def test_an_option_that_the_command_chooses_leaves_keys_of_the_recipe_unread_and_says_so(choice, roots):
    write_recipe(FULL)
    (composed,) = compose(["+recipe=net", choice])
    freeze(composed)
    noted = {note.split("'")[1] for note in note_unused_keys([composed.unused_keys])}
    assert roots <= noted, noted
    assert all(one.used_by_another for one in composed.unused_keys)


def test_a_recipe_all_of_which_is_read_has_no_note():
    write_recipe(FULL)
    (composed,) = compose(["+recipe=net"])
    freeze(composed)
    assert composed.unused_keys == ()


@pytest.mark.parametrize(
    ("choice", "key"),
    [
        ("quantization=float16", "dataset.count=5"),
        ("quantization=float16", "quantization.output_type=int8"),
        ("quantization=float16", "dataset=synthetic"),
        ("verify=none", "verify.top_k=5"),
        ("verify=none", "verify.gates.snr_db=30"),
        ("optimize=none", "optimize.epochs=5"),
        ("target=none", "target.gates.fallback_ops=0"),
        ("benchmark=none", "benchmark.runs=30"),
        ("quantization.engine=litert", "converter._experimental_disable_per_channel=true"),
        ("verify.top_k=3", "quantization.calibration.smoothing=0.5"),
        ("verify.top_k=3", "target.gpu.precision=float32"),
        ("verify.top_k=3", "target.gates.arena_bytes=1000"),
    ],
)
def test_a_key_of_the_same_command_line_is_refused(choice, key):
    write_recipe(FULL)
    refused = freeze_all("+recipe=net", choice, key)
    assert isinstance(refused, RecipeError) and refused.where == f"command line: {key}", refused


def test_a_forgotten_choice_of_verification_drops_no_gate():
    write_recipe("source: {path: net.keras}\nverify:\n  gates: {snr_db: 30}\n")
    refused = freeze_all("+recipe=net")
    assert refused.where == "recipes/net.yaml:3: verify.gates.snr_db"
    assert refused.what == "'verify.gates.snr_db' is not used by verify=none"
    assert "`- override /verify: parity`" in refused.next_step


def test_a_limit_on_accuracy_asks_for_the_verification_that_measures_it():
    write_recipe("source: {path: net.keras}\nverify:\n  gates: {top1_drop: 0.01}\n")
    assert "verify=classification" in freeze_all("+recipe=net").next_step


def test_samples_for_training_that_does_not_happen_are_refused_or_noted():
    chosen = ["dataset@optimize.dataset=npz", "optimize.dataset.path=x"]
    for declared in (chosen, chosen[:1], ["optimize.dataset.count=5"]):
        refused = freeze_all("source.path=net.keras", *declared)
        assert "optimize.dataset" in refused.what and "used by optimize=none" in refused.what, refused
    plain, pruned = freeze_all(
        "source.path=net.keras", "optimize=none,prune", *chosen, "optimize.dataset.label=y", multirun=True
    )
    assert freeze(plain).optimize is None and freeze(pruned).optimize.dataset.path == "x"
    assert note_unused_keys([plain.unused_keys, pruned.unused_keys]) == [
        "note: 'optimize' is not used by optimize=none"
    ]


@pytest.mark.parametrize("choice", [[], ["verify=none"]])
def test_gates_on_sizes_hold_without_verification(choice):
    write_recipe("source: {path: net.keras}\nverify: {gates: {bytes: 1000, gzip_bytes: 900}}\n")
    (composed,) = freeze_all("+recipe=net", *choice)
    assert freeze(composed).verify.gates == (("bytes", 1000.0), ("gzip_bytes", 900.0))


def test_a_gate_is_not_dropped_for_another_measurement_but_kept_for_the_variant_that_has_it():
    write_recipe(FULL)
    refused = freeze_all("+recipe=net", "verify=parity")
    assert refused.what == "the gate 'top1_drop' is not measured by verify=parity"
    parity, classification = freeze_all("+recipe=net", "verify=parity,classification", multirun=True)
    assert "top1_drop" not in dict(freeze(parity).verify.gates)
    assert "top1_drop" in dict(freeze(classification).verify.gates)


def test_a_value_that_equals_the_default_is_declared_and_null_is_not():
    write_recipe("source: {path: net.keras}\noptimize: {epochs: 1}\nverify: {gates: {snr_db: null}}\n")
    assert freeze_all("+recipe=net").where == "recipes/net.yaml:2: optimize.epochs"
    write_recipe("source: {path: net.keras}\nverify: {gates: {snr_db: null}, metrics: {}}\n")
    assert isinstance(freeze_all("+recipe=net"), list)


def test_what_a_recipe_leaves_open_does_not_hide_what_it_does_not_read():
    write_recipe("source: {path: '???'}\nverify: {gates: {snr_db: 30}}\n")
    refused = freeze_all("+recipe=net", "source.path=x", "verify=none")
    assert refused.where == "recipes/net.yaml:2: verify.gates.snr_db"


def test_a_key_that_no_option_has_is_refused_as_before():
    write_recipe("source: {path: net.keras}\nquantization: {input_typ: int8}\n")
    assert "'input_typ' is not a key" in freeze_all("+recipe=net").what


def test_a_misspelt_key_of_an_option_that_is_not_chosen_is_found_in_a_sweep():
    write_recipe("source: {path: net.keras}\ndataset: {path: x}\nquantization: {calibration: {methd: mse}}\n")
    refused = freeze_all("+recipe=net", "quantization=none,int8", "dataset=npz", multirun=True)
    assert "'methd' is not a key" in refused.what


def test_an_unread_key_of_a_projects_own_option_is_refused():
    Path("conf/quantization").mkdir(parents=True)
    Path("conf/quantization/mine.yaml").write_text(
        "defaults: [/schema/quantization/none@_here_, _self_]\ngranularity: per_tensor\n"
    )
    refused = freeze_all("source.path=x", "quantization=mine")
    assert "'quantization.granularity' is not used" in refused.what


def test_a_dict_on_the_command_line_is_taken_apart():
    command = ["source.path=x", "dataset=synthetic", "quantization=int8,float16", "verify=none,parity"]
    dicts = ["quantization.calibration={method:mse,kernels:fast}", "verify.gates={snr_db:30,bytes:1000}"]
    variants = freeze_all(*command, *dicts, "verify.dataset.path=x", multirun=True)
    int8, _, unverified, parity = map(freeze, variants)
    assert int8.quantization.calibration.kernels == "fast" and unverified.quantization.calibration is None
    assert unverified.verify.gates == (("bytes", 1000.0),)
    assert dict(parity.verify.gates) == {"bytes": 1000.0, "snr_db": 30.0}

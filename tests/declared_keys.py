"""Which step proves each key of a recipe, as data: `tests/unit/test_declared_keys.py` compares it with the schema and
with the table of docs/proofs.md, which is `proof_table()`."""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase


@dataclass(frozen=True)
class KeyProof:
    """The proof of some keys.

    Attributes:
        keys: Patterns of keys as docs/reference.md has them; of a key the first row that matches counts.
        step: The step that fails where the artifact is not as declared; "" for keys that no step can prove.
        how: What the step compares; without a step, why nothing can be compared.
        faults: Faults of `planted_faults.py` that this proof catches.
    """

    keys: tuple[str, ...]
    step: str
    how: str
    faults: tuple[str, ...] = ()


PROOFS = (
    KeyProof(
        ("source.sha256",),
        "resolve",
        "the digest of the source's bytes is computed before anything runs",
    ),
    KeyProof(
        ("source.allow", "source.custom_objects", "source.files"),
        "import",
        "code that is not named is not run, and a name that the source does not have is refused",
    ),
    KeyProof(
        ("source.fused_lstm",),
        "import, compare",
        "an LSTM must have been traced; the fused model gives what the layers give",
    ),
    KeyProof(
        ("source.*",),
        "compare",
        "the snapshot and the float model give what the source gives, loaded by its own framework",
        ("import_traces_in_training_mode", "import_repeats_a_sample", "converter_changes_a_weight"),
    ),
    KeyProof(
        ("optimize.sparsity", "optimize.pattern", "optimize.clusters", "optimize.steps"),
        "check",
        "zeros, their pattern and different values are counted in the artifact; `qat` must leave ranges",
    ),
    KeyProof(
        ("optimize.*",),
        "",
        "how a model was trained leaves no trace that could be compared; the key of the step has it, and the CPU",
    ),
    KeyProof(
        ("signature.key", "signature.more"),
        "check",
        "the keys of the file's signatures",
        ("quantizer_drops_the_signature", "converter_renames_the_signature"),
    ),
    KeyProof(
        ("signature.entry",),
        "compare",
        "the named entry point of the source is called, and gives what the signature gives",
    ),
    KeyProof(
        ("signature.batch", "signature.inputs"),
        "check, compare, verify",
        "shapes and types in the file, free sizes as free; the model runs at other sizes where they are free",
        ("quantizer_pins_the_batch", "converter_pins_the_batch", "import_exchanges_inputs"),
    ),
    KeyProof(
        ("signature.outputs",),
        "check, compare",
        "names, their order in signature and graph, and by values which tensor has which name",
        (
            "quantizer_exchanges_outputs",
            "quantizer_reverses_outputs_of_the_graph",
            "quantizer_exchanges_inputs_of_the_graph",
            "quantizer_renames_an_output",
            "converter_exchanges_outputs",
            "converter_reverses_inputs_of_the_graph",
            "converter_drops_an_output",
            "import_exchanges_outputs",
        ),
    ),
    KeyProof(
        ("signature.preprocess",),
        "compare",
        "the model, fed raw values, gives what the source gives for values that NumPy preprocessed",
        (
            "import_exchanges_mean_and_std",
            "import_forgets_the_scale",
            "import_resizes_to_the_nearest",
            "import_reverses_the_channels",
        ),
    ),
    KeyProof(("opset.*",), "check", "every operator of the file, with its version and the types that it computes on"),
    KeyProof(
        (
            "converter._experimental_disable_per_channel*",
            "converter._experimental_full_integer_quantization_bias_type",
        ),
        "check",
        "scales and types of weights and biases in the file",
    ),
    KeyProof(
        ("converter.*",),
        "compare",
        "they choose among ways to compute the same: the float model must give what the source gives",
    ),
    KeyProof(
        ("quantization.granularity",),
        "check",
        "the scales of every weight, their count, axis and blocks",
        ("quantizer_keeps_one_scale", "quantizer_turns_the_axis_of_scales", "quantizer_gives_scales_by_channel"),
    ),
    KeyProof(
        ("quantization.symmetric",),
        "check",
        "the zero point of every int8 activation",
        ("quantizer_shifts_a_zero_point", "quantizer_shifts_the_zero_point_of_an_input"),
    ),
    KeyProof(
        ("quantization.rules",),
        "check",
        "how every operator computes",
        ("quantizer_leaves_the_model_as_it_is",),
    ),
    KeyProof(
        ("quantization.input_type", "quantization.output_type"),
        "check",
        "types and scales of inputs and outputs",
    ),
    KeyProof(
        (
            "quantization.calibration.method",
            "quantization.calibration.percentile",
            "quantization.calibration.smoothing",
        ),
        "check",
        "the scales of inputs span what was measured; within the model, only what `verify` measures tells",
    ),
    KeyProof(
        ("quantization.algorithm",),
        "quantize",
        "the quantized model must differ from that of min_max; which of two algorithms made it, no file says",
    ),
    KeyProof(
        ("quantization.budget.*", "verify.gates.*", "target.gates", "target.*.gates"),
        "gates",
        "figures that were measured in this build are compared with the limits",
    ),
    KeyProof(
        ("quantization.*",),
        "",
        "they say who quantizes and how it is searched, not what the artifact is; the artifact is proven as any other",
    ),
    KeyProof(
        ("metadata.*",),
        "check",
        "metadata and files are read back from the artifact and compared, labels line by line",
        (
            "annotate_exchanges_mean_and_std",
            "annotate_forgets_a_description",
            "annotate_packs_other_labels",
            "annotate_packs_no_labels",
            "annotate_exchanges_outputs",
            "annotate_writes_another_greatest_value",
            "annotate_writes_nothing",
        ),
    ),
    KeyProof(
        ("dataset.*", "verify.dataset"),
        "sample",
        "names, shapes, types, ranges and NaN; what a file means (that a column is the right one) cannot be checked",
    ),
    KeyProof(
        ("verify.*",),
        "verify",
        "they say what is measured; the figures are in the manifest",
    ),
    KeyProof(("target.*",), "targets", "each target's own verdict (docs/targets.md)"),
    KeyProof(
        ("benchmark.*", "executor.*", "store.*", "sweep.*", "output_root", "name"),
        "",
        "they say how and where is built and measured, not what the artifact is",
    ),
)


def proof_of(key: str) -> KeyProof | None:
    """Return the row of a key, None where there is none."""
    return next((proof for proof in PROOFS if any(fnmatchcase(key, pattern) for pattern in proof.keys)), None)


def proof_table() -> str:
    """Return the rows as the table of docs/proofs.md."""
    lines = ["| keys | proven by | what is compared |", "| --- | --- | --- |"]
    for proof in PROOFS:
        keys = ", ".join(f"`{key}`" for key in proof.keys)
        lines.append(f"| {keys} | {proof.step or 'nothing'} | {proof.how} |")
    return "\n".join(lines) + "\n"

"""Find declared keys that the chosen options do not use.

The rule, for every group: a key that no variant of a command uses is refused. A key that another variant uses is
accepted, with a note. For a key in a recipe's file, the recipe without overrides counts as a variant: an option that
was chosen on the command line may leave keys of the file unused.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any

from tflbuild.config.composing.config_errors import KeyLocations
from tflbuild.config.composing.declared_keys import DeclaredKey
from tflbuild.config.schema import recipe_schema as schema
from tflbuild.config.schema.schema_optimize import find_unused
from tflbuild.config.schema.schema_quantization import QuantizationConfig
from tflbuild.config.schema.schema_target import TargetConfig
from tflbuild.core.gates import GATED_ACCURACIES, SIZE_FIGURES
from tflbuild.core.recipe import ALGORITHMS_WITH_DATA, CONVERTER_QUANTIZER_OPTIONS, LOCATORS
from tflbuild.core.schemes import CALIBRATED, NAMES, SCHEMES
from tflbuild.errors import RecipeError
from tflbuild.targets.target_runtimes import RUNTIMES

if TYPE_CHECKING:
    from tflbuild.config.composing.composed_variant import Composed

NEEDS_LABELS = (*GATED_ACCURACIES, "confidence")


@dataclass(frozen=True)
class UnusedKey:
    """A declared key that one variant does not use.

    `root` is the part of the key that notes name. `reader` is the option that does not use it.
    `used_by_another`: another variant uses it, or the recipe without overrides does.
    `limit`: a gate, which only `verify=none` may leave unused.
    `set_aside`: the chosen option does not have this key at all.
    """

    key: str
    root: str
    reader: str
    what: str
    next_step: str
    why: str = ""
    file: bool = False
    limit: bool = False
    used_by_another: bool = False
    set_aside: bool = False


def find_unused_keys(build: schema.RecipeConfig, declared: Iterable[DeclaredKey]) -> list[UnusedKey]:
    """Return the declared keys that a composed variant does not use."""
    unused_keys: dict[str, UnusedKey] = {}
    for declared_key in declared:
        unused_key = explain_key(build, declared_key)
        if unused_key is not None and declared_key.key not in unused_keys:
            unused_keys[declared_key.key] = unused_key
    return list(unused_keys.values())


def explain_key(build: schema.RecipeConfig, declared: DeclaredKey) -> UnusedKey | None:
    """Return why a variant does not use a key, or None for a key that it uses."""
    rules = (explain_option, explain_samples, explain_calibration, explain_algorithm, explain_gate, explain_converter)
    for rule in (explain_target, *rules):
        if unused_key := rule(build, declared):
            return unused_key
    return None


def explain_target(build: schema.RecipeConfig, declared: DeclaredKey) -> UnusedKey | None:
    """Explain a profile that is not chosen, and a limit on a figure that only other targets have."""
    group, _, rest = declared.key.partition(".")
    name, _, figure = rest.partition(".")
    if group != "target" or not rest:
        return None
    if declared.set_aside:
        return _unused_key(
            declared,
            f"target.{name}",
            "the chosen targets",
            f"target '{name}' is not chosen, so '{declared.key}' cannot be set",
            f"target={name}, or several: target=[cpu,{name}]",
        )
    limits = {limit for profile in profiles_of(build) for limit in RUNTIMES[profile.runtime].limits}
    if name != "gates" or figure in limits or not any(figure in runtime.limits for runtime in RUNTIMES.values()):
        return None
    having = [option for option, kind in schema.OPTIONS["target"].items() if figure in _limits(kind)]
    return _unused_key(
        declared,
        declared.key,
        "the chosen targets" if limits else "target=none",
        f"'{figure}' is not a figure of " + ("the chosen targets" if limits else "a target: none is chosen"),
        "leave it out, or choose a target that has it: " + ", ".join(f"target={option}" for option in having),
    )


def _limits(kind: type) -> Sequence[str]:
    return RUNTIMES[kind.runtime].limits if issubclass(kind, TargetConfig) else ()


def profiles_of(build: schema.RecipeConfig) -> list[TargetConfig]:
    """Return the profiles of the chosen targets."""
    return [profile for profile in build.target.values() if isinstance(profile, TargetConfig)]


def explain_option(build: schema.RecipeConfig, declared: DeclaredKey) -> UnusedKey | None:
    """Explain a key that the chosen option of its group does not have or does not use."""
    for location, group, node in nodes_of(build):
        name = declared.key.removeprefix(f"{location}.").partition(".")[0]
        if not declared.key.startswith(f"{location}."):
            continue
        unused = find_unused(node) if group == "optimize" else getattr(type(node), "unused", ())
        if not (declared.set_aside or name in unused):
            return None
        if declared.key.rpartition(".")[0] == "verify.gates" and declared.key.rpartition(".")[2] in SIZE_FIGURES:
            return None
        return _explain_choice(declared, location, group, name, node)
    return None


def _explain_choice(declared: DeclaredKey, location: str, group: str, name: str, node: object) -> UnusedKey:
    option = _option_of(group, node)
    having = [
        other
        for other, kind in schema.OPTIONS[group].items()
        if name in {spec.name for spec in fields(kind)} and name not in getattr(kind, "unused", ())
    ]
    if declared.key.partition("verify.gates.")[2] in NEEDS_LABELS:
        having = ["classification"]
    chooser = group if location == group else f"{group}@{location}"
    reader = f"{chooser}={option}"
    next_step = "leave it out, or choose an option that uses it"
    if group == "source":
        next_step = "leave it out" + (
            "" if name == "files" else f"; the model is source.{LOCATORS.get(option, 'path')}"
        )
    elif option == "none":
        next_step = (
            f"choose an option that uses it: {chooser}={having[0]} (in a recipe, under defaults:"
            f" `- override /{chooser}: {having[0]}`), or leave it out"
        )
    root = declared.key if option != "none" or location in ("verify", "quantization") else location
    root = f"{location}.dataset" if name == "dataset" and location == "verify" else root
    if declared.set_aside:
        message = f"the chosen option of '{location}' has no key '{name}'"
        reason = f"it is a key of {', '.join(f'{chooser}={other}' for other in having)}"
    else:
        message, reason = f"'{declared.key}' is not used by {reader}", ""
    return _unused_key(declared, root, reader, message, next_step, reason)


def nodes_of(build: schema.RecipeConfig) -> Iterator[tuple[str, str, Any]]:
    """Yield (location, group, value) of each option, the innermost first."""
    if build.verify.kind != "none":
        yield "verify.dataset", "dataset", build.verify.dataset
    if build.optimize.steps:
        yield "optimize.dataset", "dataset", build.optimize.dataset
    for group in ("source", "optimize", "quantization", "dataset", "verify", "benchmark", "executor"):
        yield group, group, getattr(build, group)


def _option_of(group: str, node: object) -> str:
    return next((option for option, kind in schema.OPTIONS[group].items() if kind is type(node)), "none")


def explain_samples(build: schema.RecipeConfig, declared: DeclaredKey) -> UnusedKey | None:
    """Explain a representative dataset that no step reads."""
    if (declared.key != "dataset" and not declared.key.startswith("dataset.")) or reads_samples(build):
        return None
    reader = f"quantization={build.quantization.scheme}"
    return _unused_key(
        declared,
        "dataset",
        reader,
        f"'{declared.key}' is not used by {reader}",
        "leave the dataset out, or choose a scheme that is calibrated: quantization=int8",
        "the representative dataset calibrates activations, and this scheme has no calibration",
    )


def reads_samples(build: schema.RecipeConfig) -> bool:
    """Return whether a step uses the representative dataset."""
    quantization = build.quantization
    # A search may try schemes that need the dataset, and targets choose their own schemes.
    if quantization.scheme not in SCHEMES:
        return True
    if quantization.algorithm.value in ALGORITHMS_WITH_DATA:
        return True
    trained = any(step.value == "qat" for step in build.optimize.steps)
    if trained and quantization.engine.value == "converter":
        return False
    return not schemes_of(quantization).isdisjoint(CALIBRATED)


def schemes_of(quantization: QuantizationConfig) -> set[str]:
    """Return the schemes of the model and of its quantization rules.

    Unknown names are left out: another check refuses them.
    """
    return {
        NAMES[name] for name in (quantization.scheme, *(rule.scheme for rule in quantization.rules)) if name in NAMES
    }


def explain_calibration(build: schema.RecipeConfig, declared: DeclaredKey) -> UnusedKey | None:
    """Explain a parameter of another calibration method."""
    owners = {
        "quantization.calibration.percentile": "percentile",
        "quantization.calibration.smoothing": "moving_average",
    }
    method = owners.get(declared.key)
    calibration = getattr(build.quantization, "calibration", None)
    if method is None or calibration is None or calibration.method.value == method:
        return None
    reader = f"quantization.calibration.method={calibration.method.value}"
    return _unused_key(
        declared,
        declared.key,
        reader,
        f"'{declared.key}' is not used by {reader}",
        f"leave it out, or quantization.calibration.method={method}",
    )


def explain_algorithm(build: schema.RecipeConfig, declared: DeclaredKey) -> UnusedKey | None:
    """Explain an algorithm for integer weights in a recipe without integer weights."""
    integers = any(SCHEMES[name].weights in (4, 8) for name in schemes_of(build.quantization))
    if declared.key != "quantization.algorithm" or integers or build.quantization.scheme not in SCHEMES:
        return None
    reader = f"quantization={build.quantization.scheme}"
    return _unused_key(
        declared,
        declared.key,
        reader,
        f"'{declared.key}' is not used by {reader}",
        "leave it out, or choose a scheme with integer weights",
    )


def explain_gate(build: schema.RecipeConfig, declared: DeclaredKey) -> UnusedKey | None:
    """Explain a limit on accuracy in a recipe that compares outputs without labels."""
    name = declared.key.removeprefix("verify.gates.")
    if name not in NEEDS_LABELS or name == declared.key or build.verify.kind != "parity":
        return None
    return _unused_key(
        declared,
        declared.key,
        "verify=parity",
        f"the gate '{name}' is not measured by verify=parity",
        "use verify=classification",
        limit=True,
    )


def explain_converter(build: schema.RecipeConfig, declared: DeclaredKey) -> UnusedKey | None:
    """Explain an option of TFLiteConverter's quantizer, which does not run."""
    name = declared.key.removeprefix("converter.")
    quantization = build.quantization
    quantizes = quantization.engine.value == "converter" and quantization.scheme != "none"
    if name not in CONVERTER_QUANTIZER_OPTIONS or quantizes:
        return None
    unquantized = quantization.scheme == "none"
    return _unused_key(
        declared,
        declared.key,
        "quantization=none" if unquantized else f"quantization.engine={quantization.engine.value}",
        f"'{declared.key}' has no effect",
        "quantization.engine=converter, or leave it out",
        "it takes effect while TFLiteConverter quantizes, and here "
        + ("nothing is quantized" if unquantized else "the LiteRT quantizer does"),
    )


def _unused_key(
    declared: DeclaredKey,
    root: str,
    reader: str,
    message: str,
    next_step: str,
    reason: str = "",
    *,
    limit: bool = False,
) -> UnusedKey:
    return UnusedKey(
        key=declared.key,
        root=root,
        reader=reader,
        what=message,
        next_step=next_step,
        why=reason,
        file=declared.file,
        limit=limit,
        set_aside=declared.set_aside,
    )


def mark_keys_used_by_other_variants(variants: Sequence[Composed], *, complete: bool = True) -> list[Composed]:
    """Return the variants of a command, with each unused key marked that another variant uses.

    Args:
        several: The variants.
        complete: False if further variants may follow, which may use any key.
    """
    keys_of_variants = [{unused.key for unused in composed.unused_keys} for composed in variants]

    def is_used(unused: UnusedKey, composed: Composed) -> bool:
        pairs = zip(keys_of_variants, variants, strict=True)
        return any(
            unused.key not in keys and (not unused.file or other.locations.recipe == composed.locations.recipe)
            for keys, other in pairs
        )

    return [
        replace(
            composed,
            unused_keys=tuple(
                replace(unused, used_by_another=unused.used_by_another or not complete or is_used(unused, composed))
                for unused in composed.unused_keys
            ),
        )
        for composed in variants
    ]


def require_chosen(variants: Sequence[Composed]) -> None:
    """Raise RecipeError for a key that no chosen option has."""
    for composed in variants:
        for unused in composed.unused_keys:
            if unused.set_aside and not unused.used_by_another:
                raise refuse_unused(unused, composed.locations)


def refuse_unused(unused: UnusedKey, locations: KeyLocations) -> RecipeError:
    """Return the error for a declared key that no variant uses."""
    where = locations.find(unused.key)
    error = RecipeError(unused.what, where=where, why=unused.why, next_step=unused.next_step)
    error.unread_key = unused.key
    return error


def note_unused_keys(several: Iterable[Sequence[UnusedKey]]) -> list[str]:
    """Return a note for each part of the recipe that some variants do not use.

    Args:
        several: The unused keys of each variant.
    """
    readers: dict[str, list[str]] = {}
    for unused_keys in several:
        for unused in unused_keys:
            readers.setdefault(unused.root, [])
            if unused.reader not in readers[unused.root]:
                readers[unused.root].append(unused.reader)
    return [f"note: '{root}' is not used by {', '.join(names)}" for root, names in readers.items()]

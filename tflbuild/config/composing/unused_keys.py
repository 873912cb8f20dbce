"""Which declared keys nothing reads: the chosen options have no use for them.

The rule, for every group: a key that no variant of a command reads is refused. A key that another variant reads is kept
for that one and noted. For a key in a recipe's file, the recipe as it is written, without overrides, counts as a
variant: an option that was chosen on the command line may leave keys of the file unread.
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
    from tflbuild.config.composing.compose import Composed

NEEDS_LABELS = (*GATED_ACCURACIES, "confidence")


@dataclass(frozen=True)
class UnusedKey:
    """A declared key that one variant does not read.

    `root` is the part of it that notes name, `reader` the option that does not read it.
    `kept`: another variant reads it, or the recipe as it is written does.
    `limit`: a gate that only `verify=none` may leave unread.
    `set_aside`: the chosen option does not even have it.
    """

    key: str
    root: str
    reader: str
    what: str
    next_step: str
    why: str = ""
    file: bool = False
    limit: bool = False
    kept: bool = False
    set_aside: bool = False


def find_unused_keys(build: schema.RecipeConfig, declared: Iterable[DeclaredKey]) -> list[UnusedKey]:
    """Return the declared keys that a composed variant does not read."""
    found: dict[str, UnusedKey] = {}
    for one in declared:
        unread = explain_key(build, one)
        if unread is not None and one.key not in found:
            found[one.key] = unread
    return list(found.values())


def explain_key(build: schema.RecipeConfig, declared: DeclaredKey) -> UnusedKey | None:
    """Return why a variant does not read a key; None for a key that it reads."""
    rules = (explain_option, explain_samples, explain_calibration, explain_algorithm, explain_gate, explain_converter)
    for rule in (explain_target, *rules):
        if unread := rule(build, declared):
            return unread
    return None


def explain_target(build: schema.RecipeConfig, declared: DeclaredKey) -> UnusedKey | None:
    """Explain a profile that is not chosen, and a limit on a figure that only other targets have."""
    group, _, rest = declared.key.partition(".")
    name, _, figure = rest.partition(".")
    if group != "target" or not rest:
        return None
    if declared.set_aside:
        return _unread(
            declared,
            f"target.{name}",
            "the chosen targets",
            f"target '{name}' is not chosen, so '{declared.key}' cannot be set",
            f"target={name}, or several: target=[cpu,{name}]",
        )
    known = {limit for profile in profiles_of(build) for limit in RUNTIMES[profile.runtime].limits}
    if name != "gates" or figure in known or not any(figure in runtime.limits for runtime in RUNTIMES.values()):
        return None
    having = [option for option, kind in schema.OPTIONS["target"].items() if figure in _limits(kind)]
    return _unread(
        declared,
        declared.key,
        "the chosen targets" if known else "target=none",
        f"'{figure}' is no figure of " + ("the chosen targets" if known else "a target: none is chosen"),
        "leave it out, or choose a target that has it: " + ", ".join(f"target={option}" for option in having),
    )


def _limits(kind: type) -> Sequence[str]:
    return RUNTIMES[kind.runtime].limits if issubclass(kind, TargetConfig) else ()


def profiles_of(build: schema.RecipeConfig) -> list[TargetConfig]:
    """Return the profiles of the chosen targets."""
    return [profile for profile in build.target.values() if isinstance(profile, TargetConfig)]


def explain_option(build: schema.RecipeConfig, declared: DeclaredKey) -> UnusedKey | None:
    """Explain a key that the chosen option of its group lacks, or has no use for."""
    for place, group, node in nodes_of(build):
        name = declared.key.removeprefix(f"{place}.").partition(".")[0]
        if not declared.key.startswith(f"{place}."):
            continue
        unused = find_unused(node) if group == "optimize" else getattr(type(node), "unused", ())
        if not (declared.set_aside or name in unused):
            return None
        if declared.key.rpartition(".")[0] == "verify.gates" and declared.key.rpartition(".")[2] in SIZE_FIGURES:
            return None
        return _explain_choice(declared, place, group, name, node)
    return None


def _explain_choice(declared: DeclaredKey, place: str, group: str, name: str, node: object) -> UnusedKey:
    option = _option_of(group, node)
    having = [
        other
        for other, kind in schema.OPTIONS[group].items()
        if name in {spec.name for spec in fields(kind)} and name not in getattr(kind, "unused", ())
    ]
    if declared.key.partition("verify.gates.")[2] in NEEDS_LABELS:
        having = ["classification"]
    chooser = group if place == group else f"{group}@{place}"
    reader = f"{chooser}={option}"
    next_step = "leave it out, or choose an option that reads it"
    if group == "source":
        next_step = "leave it out" + (
            "" if name == "files" else f"; the model is source.{LOCATORS.get(option, 'path')}"
        )
    elif option == "none":
        next_step = (
            f"choose an option that reads it: {chooser}={having[0]} (in a recipe, under defaults:"
            f" `- override /{chooser}: {having[0]}`), or leave it out"
        )
    root = declared.key if option != "none" or place in ("verify", "quantization") else place
    root = f"{place}.dataset" if name == "dataset" and place == "verify" else root
    if declared.set_aside:
        what = f"the chosen option of '{place}' has no key '{name}'"
        why = f"it is a key of {', '.join(f'{chooser}={other}' for other in having)}"
    else:
        what, why = f"'{declared.key}' would not be read by {reader}", ""
    return _unread(declared, root, reader, what, next_step, why)


def nodes_of(build: schema.RecipeConfig) -> Iterator[tuple[str, str, Any]]:
    """Yield (place, group, value) of each option, the innermost first."""
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
    return _unread(
        declared,
        "dataset",
        reader,
        f"'{declared.key}' would not be read by {reader}",
        "leave the dataset out, or choose a scheme that is calibrated: quantization=int8",
        "the representative dataset calibrates activations, and here nothing is calibrated",
    )


def reads_samples(build: schema.RecipeConfig) -> bool:
    """Return whether a step takes the representative dataset."""
    quantization = build.quantization
    if quantization.scheme not in SCHEMES:  # a search may try schemes that need it, and targets choose theirs
        return True
    if quantization.algorithm.value in ALGORITHMS_WITH_DATA:
        return True
    trained = any(step.value == "qat" for step in build.optimize.steps)
    if trained and quantization.engine.value == "converter":
        return False
    return not schemes_of(quantization).isdisjoint(CALIBRATED)


def schemes_of(quantization: QuantizationConfig) -> set[str]:
    """Return the schemes of the model and of its exceptions; unknown names are refused elsewhere."""
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
    return _unread(
        declared,
        declared.key,
        reader,
        f"'{declared.key}' would not be read by {reader}",
        f"leave it out, or quantization.calibration.method={method}",
    )


def explain_algorithm(build: schema.RecipeConfig, declared: DeclaredKey) -> UnusedKey | None:
    """Explain an algorithm for integer weights where there are none."""
    integers = any(SCHEMES[name].weights in (4, 8) for name in schemes_of(build.quantization))
    if declared.key != "quantization.algorithm" or integers or build.quantization.scheme not in SCHEMES:
        return None
    reader = f"quantization={build.quantization.scheme}"
    return _unread(
        declared,
        declared.key,
        reader,
        f"'{declared.key}' would not be read by {reader}",
        "leave it out, or choose a scheme that it refines",
    )


def explain_gate(build: schema.RecipeConfig, declared: DeclaredKey) -> UnusedKey | None:
    """Explain a limit on accuracy where outputs are compared without labels."""
    name = declared.key.removeprefix("verify.gates.")
    if name not in NEEDS_LABELS or name == declared.key or build.verify.kind != "parity":
        return None
    return _unread(
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
    nothing = quantization.scheme == "none"
    return _unread(
        declared,
        declared.key,
        "quantization=none" if nothing else f"quantization.engine={quantization.engine.value}",
        f"'{declared.key}' would do nothing",
        "quantization.engine=converter, or leave it out",
        "it acts while TFLiteConverter quantizes, and here "
        + ("nothing is quantized" if nothing else "the LiteRT quantizer does"),
    )


def _unread(
    declared: DeclaredKey, root: str, reader: str, what: str, next_step: str, why: str = "", *, limit: bool = False
) -> UnusedKey:
    return UnusedKey(
        key=declared.key,
        root=root,
        reader=reader,
        what=what,
        next_step=next_step,
        why=why,
        file=declared.file,
        limit=limit,
        set_aside=declared.set_aside,
    )


def mark_keys_used_by_other_variants(several: Sequence[Composed], *, complete: bool = True) -> list[Composed]:
    """Return the variants of a command with the unread keys marked that another one reads.

    Not `complete`: further variants may follow, and read what these do not.
    """
    unread = [{one.key for one in composed.unread} for composed in several]

    def is_read(one: UnusedKey, composed: Composed) -> bool:
        pairs = zip(unread, several, strict=True)
        return any(
            one.key not in keys and (not one.file or other.locations.recipe == composed.locations.recipe)
            for keys, other in pairs
        )

    return [
        replace(
            composed,
            unread=tuple(
                replace(one, kept=one.kept or not complete or is_read(one, composed)) for one in composed.unread
            ),
        )
        for composed in several
    ]


def require_chosen(several: Sequence[Composed]) -> None:
    """Raises RecipeError for a key that no chosen option has."""
    for composed in several:
        for one in composed.unread:
            if one.set_aside and not one.kept:
                raise refuse_unread(one, composed.locations)


def refuse_unread(unread: UnusedKey, locations: KeyLocations) -> RecipeError:
    """Return the error about a declared key that nothing reads, with the place where it is declared."""
    where = locations.find(unread.key)
    error = RecipeError(unread.what, where=where, why=unread.why, next_step=unread.next_step)
    error.unread_key = unread.key
    return error


def note_unused_keys(several: Iterable[Sequence[UnusedKey]]) -> list[str]:
    """Return one line for each part of the recipe that some variants do not read; `several` has a list a variant."""
    readers: dict[str, list[str]] = {}
    for unread in several:
        for one in unread:
            readers.setdefault(one.root, [])
            if one.reader not in readers[one.root]:
                readers[one.root].append(one.reader)
    return [f"note: '{root}' is not used by {', '.join(names)}" for root, names in readers.items()]

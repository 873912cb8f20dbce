"""All that is generated: the schema's texts, as the YAML files of conf/ and docs/reference.md; docs/targets/.

python -m tflbuild.config.reference --check     say what is out of date (exit 1)
python -m tflbuild.config.reference --write     write it
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import fields, is_dataclass
from enum import Enum
from pathlib import Path
from typing import Any

from omegaconf import MISSING, OmegaConf

from tflbuild.config.reference.json_schema import recipe_schema
from tflbuild.config.reference.runtime_page import runtimes_page
from tflbuild.config.reference.schema_texts import class_text, field_text
from tflbuild.config.schema import recipe_schema as schema
from tflbuild.config.schema import schema_metadata
from tflbuild.locations import find_shipped_folder
from tflbuild.targets.target_pages import pages as target_pages

NESTED_DATASET = "npz"  # what a dataset within another group is, unless a recipe says otherwise
TARGET_GATES = "Limits of every target that has such a figure, exit code 3: `{fallback_ops: 0}` (docs/targets.md)."
HEADER = "# Written from tflbuild/config/schema/recipe_schema.py by `python -m tflbuild.config.reference --write`.\n"


def _defaults(kind: type) -> dict[str, Any]:
    config = OmegaConf.structured(kind)
    names = [spec.name for spec in fields(kind)]
    return {name: MISSING if OmegaConf.is_missing(config, name) else config[name] for name in names}


def _nested(kind: type, name: str) -> type | None:
    """The schema that a field holds, when it holds one."""
    factory = next((spec.default_factory for spec in fields(kind) if spec.name == name), None)
    return factory if isinstance(factory, type) and is_dataclass(factory) else None


def _unused(kind: type) -> tuple[str, ...]:
    return getattr(kind, "unused", ())


def _yaml_value(value: Any) -> str:
    if value == MISSING:
        return "???"
    if isinstance(value, Enum):
        return str(value.value)
    if OmegaConf.is_config(value):
        value = OmegaConf.to_container(value)
    text = OmegaConf.to_yaml(OmegaConf.create({"v": value})).strip()
    if value in ({}, []):
        return "{}" if value == {} else "[]"
    if isinstance(value, list):
        return "[" + ", ".join(str(one.value if isinstance(one, Enum) else one) for one in value) + "]"
    return text.removeprefix("v:").strip()


def _yaml_fields(kind: type, indent: str = "") -> list[str]:
    lines = []
    for name, value in _defaults(kind).items():
        if name == "dataset" or name in _unused(kind):  # a dataset comes from its group, through the defaults list
            continue
        text = field_text(kind, name)
        if text:
            lines.append(f"{indent}# {text}")
        nested = _nested(kind, name)
        if nested is not None:
            lines += [f"{indent}{name}:", *_yaml_fields(nested, indent + "  ")]
        else:
            lines.append(f"{indent}{name}: {_yaml_value(value)}")
    return lines


def package(group: str, option: str) -> str:
    """Where an option's keys stand. A recipe may have several targets, so each has a node of its own."""
    return f"{group}.{option}" if group == "target" and fields(schema.OPTIONS[group][option]) else group


def option_yaml(group: str, option: str) -> str:
    """The file conf/<group>/<option>.yaml."""
    kind = schema.OPTIONS[group][option]
    place = [f"# @package {package(group, option)}"] if package(group, option) != group else []
    if not fields(kind):
        return "\n".join([f"# @package {group}", HEADER.rstrip(), f"# {class_text(kind)}"]) + "\n"
    lines = [*place, HEADER.rstrip(), f"# {class_text(kind)}", "defaults:", f"  - /schema/{group}/{option}@_here_"]
    if _nested(kind, "dataset") is not None:
        lines.append(f"  - /dataset@dataset: {'none' if 'dataset' in _unused(kind) else NESTED_DATASET}")
    lines += ["  - _self_", "", *_yaml_fields(kind)]
    return "\n".join(lines) + "\n"


def _table(kind: type, prefix: str) -> list[str]:
    rows = []
    for name, value in _defaults(kind).items():
        text = field_text(kind, name)
        nested = _nested(kind, name)
        if name in _unused(kind) or (name in ("kind", "scheme") and not text):
            continue
        if name == "dataset" and prefix in ("verify.", "optimize."):
            rows.append(f"| `{prefix}{name}` | `{NESTED_DATASET}` | {text} |")
        elif nested is not None:
            rows += _table(nested, f"{prefix}{name}.")
        else:
            shown = "required" if value == MISSING else f"`{_yaml_value(value)}`"
            rows.append(f"| `{prefix}{name}` | {shown} | {text} |")
    return rows


def reference_page() -> str:
    """docs/reference.md."""
    lines = [
        "# Reference of recipes",
        "",
        "Written from `tflbuild/config/schema/recipe_schema.py`; every key of every option, with its default.",
        "",
        "## Top level",
        "",
        "| key | default | what it does |",
        "| --- | --- | --- |",
        *(
            f"| `{n}` | `{v!r}` | {field_text(schema.RecipeConfig, n)} |"
            for n, v in (("name", ""), ("output_root", "outputs"))
        ),
        *_table(schema.SweepConfig, "sweep."),
        *_table(schema.StoreConfig, "store."),
        *_table(schema_metadata.MetadataConfig, "metadata."),
        *_table(schema_metadata.InputMetadata, "metadata.inputs.NAME."),
        *_table(schema_metadata.OutputMetadata, "metadata.outputs.NAME."),
        *_table(schema_metadata.ScoreCalibration, "metadata.outputs.NAME.score_calibration."),
        f"| `target.gates` | `{{}}` | {TARGET_GATES} |",
    ]
    for group, options in schema.OPTIONS.items():
        lines += ["", f"## {group}"]
        for option, kind in options.items():
            lines += ["", f"### `{group}={option}`", "", class_text(kind)]
            rows = _table(kind, f"{package(group, option)}.")
            if rows:
                lines += ["", "| key | default | what it does |", "| --- | --- | --- |", *rows]
    return "\n".join(lines) + "\n"


def pages() -> dict[Path, str]:
    """Every generated file and its text."""
    conf = find_shipped_folder("conf")
    files = {
        conf / group / f"{option}.yaml": option_yaml(group, option)
        for group, options in schema.OPTIONS.items()
        for option in options
    }
    docs = conf.parent / "docs"
    written = {
        docs / "reference.md": reference_page(),
        docs / "recipe.schema.json": json.dumps(recipe_schema(), indent=1) + "\n",
        docs / "runtimes.md": runtimes_page(),
    }
    return files | written | target_pages(docs / "targets")


def main() -> None:
    """The command line of this module."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--write", action="store_true", help="write the files")
    parser.add_argument("--check", action="store_true", help="exit 1 when one is out of date")
    options = parser.parse_args()
    stale = [path for path, text in pages().items() if not path.is_file() or path.read_text() != text]
    for path in stale:
        if options.write:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(pages()[path])
        print(f"{'written' if options.write else 'out of date'}: {path}")
    sys.exit(1 if stale and not options.write else 0)

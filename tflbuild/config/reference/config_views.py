"""The configuration as a person wants to see it: --help, and Hydra's own --cfg, --info and completion."""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import textwrap
from collections.abc import Sequence

from hydra._internal.hydra import Hydra
from hydra.core.object_type import ObjectType
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf.errors import OmegaConfBaseException

from tflbuild.config.composing import config_errors
from tflbuild.config.composing.hydra_config_sources import GROUP
from tflbuild.config.composing.hydra_setup import PRIMARY, open_hydra
from tflbuild.config.composing.mapping_overrides import nest, normalise
from tflbuild.config.reference.schema_texts import class_text
from tflbuild.config.schema import recipe_schema as schema
from tflbuild.errors import UsageError, nearest

USAGE = """\
tflbuild: a build system for TensorFlow Lite (LiteRT) models

  tflbuild +recipe=mobilenet_int8                  build
  tflbuild -m +recipe=mobilenet_int8 \\
           quantization=none,float16,int8          sweep: many variants, one plan
  tflbuild plan +recipe=mobilenet_int8             what would run, and why
  tflbuild explain +recipe=mobilenet_int8          which parameter, input or package changed
  tflbuild report                                  the last sweep's page, again; --since REV: of all since then
  tflbuild inspect models/net.keras                what a model takes and gives; --as-recipe writes a recipe
  tflbuild cache                                   what the store holds; --clear empties it

Exit codes: 0 done, 1 a step failed, 2 recipe or usage wrong, 3 a gate failed, 4 the machine is in the way,
130 interrupted. Any key can be set: quantization.input_type=uint8; --cfg job shows them all.
"""
WIDTH = 100


def print_view(options: argparse.Namespace, parser: argparse.ArgumentParser, verbs: Sequence[str]) -> None:
    """Print the view that the flags ask for. Raises RecipeError when the config does not compose."""
    hydra = open_hydra()
    overrides = options.overrides if options.shell_completion else normalise(options.overrides)
    options.overrides = overrides
    if options.shell_completion:
        complete(hydra, overrides, verbs)
        return
    if options.help:
        print(help_text(hydra, parser))
        return
    with config_errors.translate_errors(overrides):
        parsed = OverridesParser.create().parse_overrides(overrides)
        config_errors.check_overrides(parsed, config_errors.KeyLocations(overrides=tuple(overrides)))
        overrides = [nest(text) for text in overrides]
        if options.hydra_help:
            options.overrides = []  # Hydra sets up logging first, and calls what its configuration names
            hydra.hydra_help(PRIMARY, parser, options)
        elif options.info:
            hydra.show_info(options.info, PRIMARY, overrides, RunMode.MULTIRUN if options.multirun else RunMode.RUN)
        else:
            show_config(hydra, overrides, options)


def complete(hydra: Hydra, overrides: list[str], verbs: Sequence[str]) -> None:
    """Hydra's completion. A verb in the line is none of its business."""
    words = os.environ.get("COMP_LINE", "").split(" ")
    os.environ["COMP_LINE"] = " ".join(words[:1] + [word for word in words[1:] if word not in verbs])
    try:
        hydra.shell_completion(PRIMARY, overrides)
    except (ValueError, HydraException, OmegaConfBaseException) as error:
        why = " ".join(str(error).split())
        raise UsageError("cannot complete that", why=why, next_step='eval "$(tflbuild -sc install=bash)"') from None


def show_config(hydra: Hydra, overrides: list[str], options: argparse.Namespace) -> None:
    """--cfg, with Hydra's complaint about a package that is not there in our shape."""
    try:
        with contextlib.redirect_stderr(io.StringIO()):
            hydra.show_cfg(PRIMARY, overrides, options.cfg, options.package, options.resolve)
    except SystemExit:
        raise UsageError(
            f"the config has no '{options.package}'",
            where="command line: --package",
            why=nearest(options.package, schema.OPTIONS),
        ) from None


def help_text(hydra: Hydra, parser: argparse.ArgumentParser) -> str:
    """Usage, every group with its options and what they are, the flags."""
    lines = [USAGE, "Groups and their options (group=option):", ""]
    for group, options in schema.OPTIONS.items():
        for option in group_options(hydra, group):
            kind = options.get(option)
            lines += _entry(group, option, class_text(kind) if kind else "of this project")
            group = ""
    recipes = ", ".join(group_options(hydra, GROUP))
    lines += [*_entry(GROUP, "", recipes), "", "Flags:", ""]
    for action in parser._actions:
        if action.option_strings:
            lines += _entry("", ", ".join(action.option_strings), action.help or "", second=26)
    return "\n".join(lines)


def group_options(hydra: Hydra, group: str) -> list[str]:
    """Options in the schema's order, a project's own after them."""
    found = hydra.config_loader.get_group_options(group, ObjectType.CONFIG)
    known = [option for option in schema.OPTIONS.get(group, ()) if option in found]
    return known + [option for option in found if option not in known]


def _entry(first: str, second_text: str, text: str, second: int = 16) -> list[str]:
    head = f"  {first:<13} {second_text:<{second}} " if second == 16 else f"  {second_text:<{second}} "
    body = textwrap.wrap(text, WIDTH - len(head)) or [""]
    return [(head + body[0]).rstrip(), *(" " * len(head) + line for line in body[1:])]

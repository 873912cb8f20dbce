"""Hydra's own views of a configuration: --help, --cfg, --info, --hydra-help and shell completion."""

from __future__ import annotations

import argparse

from hydra.types import RunMode

from tflbuild.config import mistakes
from tflbuild.config.compose import PRIMARY, normalise, open_hydra
from tflbuild.errors import UsageError


def show(options: argparse.Namespace, parser: argparse.ArgumentParser) -> None:
    """Print the view that the flags ask for. Raises RecipeError when the config does not compose."""
    hydra = open_hydra()
    overrides = options.overrides if options.shell_completion else normalise(options.overrides)
    options.overrides = overrides
    if options.shell_completion:
        try:
            hydra.shell_completion(PRIMARY, overrides)
        except ValueError as error:
            raise UsageError(str(error), next_step='eval "$(tflbuild -sc install=bash)"') from None
        return
    with mistakes.translated(hydra, overrides):
        if options.hydra_help:
            hydra.hydra_help(PRIMARY, parser, options)
        elif options.help:
            hydra.app_help(PRIMARY, parser, options)
        elif options.info:
            hydra.show_info(options.info, PRIMARY, overrides, RunMode.MULTIRUN if options.multirun else RunMode.RUN)
        else:
            hydra.show_cfg(PRIMARY, overrides, options.cfg, options.package, options.resolve)

"""Rewrite overrides of mappings whose names the user chooses, such as `signature.inputs`."""

from __future__ import annotations

import re

from tflbuild.config.composing.hydra_config_sources import GROUP

OPEN_MAPPING = re.compile(
    r"(source\.(arguments|custom_objects)|signature\.(inputs|outputs|preprocess|more)"
    r"|((verify|optimize)\.)?dataset\.arrays"
    r"|metadata\.(inputs|outputs|more|files)|verify\.metrics|executor\.resources|target\.(\w+\.)?gates|target\.\w+\.options|(verify\.gates|quantization\.budget)\.(outputs|at_least|at_most))[.=]"
)
TYPED_MAPPING = re.compile(
    r"\+\+(?P<mapping>signature\.(inputs|preprocess|more)|metadata\.(inputs|outputs|more|files)|(verify\.gates|quantization\.budget)\.outputs)\.(?P<names>.+)"
)


def normalise(overrides: list[str]) -> list[str]:
    """Return overrides in Hydra's grammar: `recipe=x` as `+recipe=x`, names of open mappings with `++`.

    The defaults have no recipe, so `recipe=x` can only mean `+recipe=x`. Names in an open mapping are the user's own,
    with or without a `+`.
    """
    recipe_normalised = [f"+{text}" if text.startswith(f"{GROUP}=") else text for text in overrides]
    return [f"++{text.lstrip('+')}" if OPEN_MAPPING.match(text.lstrip("+")) else text for text in recipe_normalised]


def nest(override: str) -> str:
    """Return `++signature.inputs.x.dtype=int8` as `++signature.inputs={x:{dtype:int8}}`.

    OmegaConf adds a typed node only for the second form.
    """
    key, _, value = override.partition("=")
    typed = TYPED_MAPPING.match(key)
    if typed is None:
        return override
    for name in reversed(typed["names"].split(".")):
        value = f"{{{name}:{value}}}"
    return f"++{typed['mapping']}={value}"

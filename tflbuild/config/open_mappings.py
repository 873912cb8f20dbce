"""Overrides of mappings whose names are the user's own, such as `signature.inputs`."""

from __future__ import annotations

import re

from tflbuild.config.recipe_source import GROUP

OPEN_MAPPING = re.compile(
    r"(source\.(arguments|custom_objects)|signature\.(inputs|outputs|preprocess|more)"
    r"|((verify|optimize)\.)?dataset\.arrays"
    r"|metadata\.(inputs|outputs|more|files)|verify\.metrics|executor\.resources|target\.(\w+\.)?gates|target\.\w+\.options|(verify\.gates|quantization\.budget)\.(outputs|at_least|at_most))[.=]"
)
TYPED_MAPPING = re.compile(
    r"\+\+(?P<mapping>signature\.(inputs|preprocess|more)|metadata\.(inputs|outputs|more|files)|(verify\.gates|quantization\.budget)\.outputs)\.(?P<names>.+)"
)


def normalise(overrides: list[str]) -> list[str]:
    """`recipe=x` means `+recipe=x`: no recipe stands in the defaults, and nothing else can be meant.

    Names below an open mapping are the user's own, which Hydra would want to be told with `++`.
    """
    told = [f"+{text}" if text.startswith(f"{GROUP}=") else text for text in overrides]
    return [f"++{text}" if OPEN_MAPPING.match(text) else text for text in told]


def nest(override: str) -> str:
    """`++signature.inputs.x.dtype=int8` as `++signature.inputs={x:{dtype:int8}}`: else OmegaConf adds no typed node."""
    key, _, value = override.partition("=")
    typed = TYPED_MAPPING.match(key)
    if typed is None:
        return override
    for name in reversed(typed["names"].split(".")):
        value = f"{{{name}:{value}}}"
    return f"++{typed['mapping']}={value}"

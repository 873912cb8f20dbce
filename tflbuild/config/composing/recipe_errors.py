"""How a composed recipe is refused: with the place where the key was written."""

from __future__ import annotations

from dataclasses import dataclass

from tflbuild.config.composing.config_errors import KeyLocations
from tflbuild.errors import RecipeError


@dataclass(frozen=True)
class RecipeErrors:
    """Makes the errors of one recipe."""

    locations: KeyLocations

    def refuse(self, what: str, key: str, why: str = "", next_step: str = "") -> RecipeError:
        """The error, to be raised."""
        return RecipeError(what, where=self.locations.find(key), why=why, next_step=next_step)

    def require(self, holds: bool, key: str, value: object, rule: str) -> None:
        """Raises unless `holds`; `rule` completes "must be ..."."""
        if not holds:
            raise self.refuse(f"'{key}' is {value}, and must be {rule}", key)

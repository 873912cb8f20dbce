"""Make errors about a composed recipe, with the place where the key was written."""

from __future__ import annotations

from dataclasses import dataclass

from tflbuild.config.composing.config_errors import KeyLocations
from tflbuild.errors import RecipeError


@dataclass(frozen=True)
class RecipeErrors:
    """Makes the errors of one recipe."""

    locations: KeyLocations

    def refuse(self, what: str, key: str, why: str = "", next_step: str = "") -> RecipeError:
        """Return an error about a key, to be raised by the caller."""
        return RecipeError(what, where=self.locations.find(key), why=why, next_step=next_step)

    def require(self, condition: bool, key: str, value: object, rule: str) -> None:
        """Raise RecipeError unless a condition is true. `rule` completes "must be ..."."""
        if not condition:
            raise self.refuse(f"'{key}' is {value}, and must be {rule}", key)

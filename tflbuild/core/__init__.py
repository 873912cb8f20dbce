"""Immutable values that all stages share: recipe, step, digest, result, verdict. Standard library only."""

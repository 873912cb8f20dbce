"""The typed schema of a recipe."""

"""Schema -> Recipe: cross-checked and immutable."""

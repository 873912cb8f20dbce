"""The search of `quantization=auto`: trial plans, and the recipe that results."""

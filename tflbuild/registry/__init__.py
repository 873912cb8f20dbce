"""The kinds of step by name."""

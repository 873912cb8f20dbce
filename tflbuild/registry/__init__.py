"""The registry of step kinds."""

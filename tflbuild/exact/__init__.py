"""Arithmetic with the same bits on every CPU. Worker code."""

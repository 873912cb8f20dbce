"""Constant folding before conversion, bit-exact on every CPU. Worker code."""

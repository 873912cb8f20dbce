"""Bit-exact arithmetic: results have the same bits on every supported CPU. Worker code."""

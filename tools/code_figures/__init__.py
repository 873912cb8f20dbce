"""Figures that say how easy a Python package is to take over, read from its source."""

"""Arm's Ethos-U."""

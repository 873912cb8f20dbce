"""Execution of steps on the nodes of a Ray cluster."""

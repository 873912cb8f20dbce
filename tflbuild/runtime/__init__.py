"""The worker process: its server, the confinement of a step, and functions for every step. Worker code."""

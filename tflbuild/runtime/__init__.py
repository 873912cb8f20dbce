"""The worker process: its server, the confinement of a step, and what every step may use of it. Worker code."""

"""The stage plan: resolved recipes become one graph of steps. Pure functions."""

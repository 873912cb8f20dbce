"""Records, tables and pages of sweeps."""

"""Targets, a folder for each: rules, toolchain, proof. `common` is what they share."""

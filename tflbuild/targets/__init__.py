"""Targets, a folder for each: rules, toolchain, proof. They share `common`."""

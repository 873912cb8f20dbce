"""The stage execute: results from the store, and workers for what it lacks."""

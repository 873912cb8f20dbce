"""The stage execute: results from the store; workers run the steps that it lacks."""

"""YAML files and overrides -> schema, by Hydra."""

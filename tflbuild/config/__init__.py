"""The stages compose and freeze: YAML and overrides become an immutable recipe. The only folder that knows Hydra."""

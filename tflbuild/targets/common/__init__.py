"""Code that all targets share: forms of rules, the linter, trial inputs."""

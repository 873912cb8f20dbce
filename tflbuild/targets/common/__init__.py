"""What targets share: forms of rules, the linter, trial inputs."""

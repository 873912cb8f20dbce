"""Code that all targets share: forms of support rules, the comparison with support tables, and trial inputs."""

"""The step `check`: the artifact compared with what its recipe declares. Worker code, but for `spec`."""

"""What is registered by name: the kinds of step."""

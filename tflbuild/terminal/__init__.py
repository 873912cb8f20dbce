"""Text for the terminal: control characters are escaped and secrets are removed in everything that is printed."""

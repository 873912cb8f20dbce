"""Text for the terminal: escapes and secrets are filtered from all that is printed."""

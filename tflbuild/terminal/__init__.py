"""Text that a person sees: what is printed passes filters for escapes and secrets."""

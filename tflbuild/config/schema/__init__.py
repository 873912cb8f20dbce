"""What a recipe may say, as a typed schema."""

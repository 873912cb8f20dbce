"""Answers of the commands that ask: advice, sensitivity, doctor, plan, inspect."""

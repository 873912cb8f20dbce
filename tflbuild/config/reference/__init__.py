"""Texts made of the schema: help, reference pages."""

"""Puts weights and apps somewhere: checked, previewed, verified."""

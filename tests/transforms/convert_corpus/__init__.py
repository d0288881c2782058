"""Ordinary functions with Python control flow: those that convert, with inputs, and those that are refused, with the reason."""

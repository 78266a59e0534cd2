"""Measures first calls and memory in fresh processes."""

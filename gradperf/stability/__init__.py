"""Measures how far stored runs can be compared: whole runs of ``pytest perf`` at different hours."""

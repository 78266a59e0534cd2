"""Recorded runs as one self-contained page: what was measured, how sure it is, and how it changed."""

"""Measures one pair of processes."""

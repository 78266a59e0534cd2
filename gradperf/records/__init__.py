"""Recorded runs: what a record holds, where runs are, and how one is found."""

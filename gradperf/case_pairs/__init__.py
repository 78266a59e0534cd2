"""Cases timed in pairs of processes."""

"""What one pair of processes measures."""

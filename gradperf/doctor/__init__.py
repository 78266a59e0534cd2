"""What this machine can measure."""

"""What the measured pairs prove."""

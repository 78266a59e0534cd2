"""What a case passes before and after it is timed."""

"""First calls and memory, measured in fresh processes."""

"""What the gate found, as text, Markdown and JSON."""

"""The gate's findings as text, Markdown and JSON."""

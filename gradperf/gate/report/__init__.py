"""Shows the findings in the terminal, as Markdown, on GitHub and as JSON."""

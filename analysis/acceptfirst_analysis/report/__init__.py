"""The weekly report: gathered once, rendered as HTML, Markdown or JSON."""

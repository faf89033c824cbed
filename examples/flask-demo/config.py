"""What the page shows. Edit a value, save, reload the page."""

VERSION = "1.0.0"
TITLE = "flask-demo"
GREETING = "It runs. Now change something."
ACCENT = "#2f6f5e"

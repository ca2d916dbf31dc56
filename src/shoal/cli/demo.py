"""shoal demo."""

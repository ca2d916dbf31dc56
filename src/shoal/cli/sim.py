"""shoal sim."""

"""Text to a tree of datasets, numbers and operations, and back."""

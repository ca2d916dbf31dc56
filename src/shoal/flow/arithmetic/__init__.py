"""What NumPy does to rows, and what their types become."""

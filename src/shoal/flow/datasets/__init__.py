"""What there is to compute with, and how its rows move."""

"""Processes that open datasets, and compute."""

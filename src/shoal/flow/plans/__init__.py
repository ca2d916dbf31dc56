"""Where each part of an expression runs."""

"""The version of the program, and of what it speaks and writes."""

VERSION = "0.1.0"

# Raised when a peer of the old version could misunderstand one of the new.
PROTOCOL = 1

# Raised when an old program could misread a new program's data directory.
DISK_FORMAT = 1

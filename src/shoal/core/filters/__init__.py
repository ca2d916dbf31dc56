"""Which records does somebody mean? The filter language of CCTools, called JX there."""

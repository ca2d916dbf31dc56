"""Flow: where does this run? Operations travel to where the data lies."""

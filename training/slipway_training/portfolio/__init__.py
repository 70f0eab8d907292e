"""Portfolio: small proofs of large recipes, each one command with a report."""

"""Make the identity dataset: from a persona and its base to rows and probes."""

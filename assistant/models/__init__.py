"""Model references -> a verified local model. Nothing half-downloaded is ever taken for whole."""

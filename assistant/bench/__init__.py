"""Measures this machine: what a person feels, side by side with the bare libraries in one run."""

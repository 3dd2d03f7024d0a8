"""The only room that knows XTuner: its config, its gaps, its process, its files."""

"""Share a run: plan, check, stage, send, verify, record."""

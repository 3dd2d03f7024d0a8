"""Measurements of training beside its peer, for `make bench`."""

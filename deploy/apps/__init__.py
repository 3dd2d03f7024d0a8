"""The app: a bundle made from this very project, for each host that can run it."""

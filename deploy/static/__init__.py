"""A page without a server: static files that run the model in the visitor's own browser."""

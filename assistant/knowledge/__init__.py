"""Answers from a person's own documents: reading, chunks, vectors, search, quotations with their source."""

"""Compare, classify and search texts: near duplicates, languages, phrases, placeholders."""

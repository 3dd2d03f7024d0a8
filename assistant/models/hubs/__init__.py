"""Where models come from, a module each (see `assistant.models.Source`)."""

"""Talk in the terminal."""

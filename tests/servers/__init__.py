"""Small servers on 127.0.0.1 that speak just enough of a hub for its real client."""

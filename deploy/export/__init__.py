"""The merged model as files that other programs run: GGUF, and a folder for Ollama."""

"""OpenAI's API under `/v1`: the assistant in the tools that people have. No Gradio, no model library."""

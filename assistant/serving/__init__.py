"""Serve an assistant: hold the engine, queue and limit visitors, answer, count, log. No Gradio."""

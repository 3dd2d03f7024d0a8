"""The CPU engine: OpenVINO GenAI, and what makes weights readable for it."""

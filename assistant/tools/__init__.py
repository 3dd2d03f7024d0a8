"""What the assistant can use to answer: its tools, and the loop of choosing, running and answering."""

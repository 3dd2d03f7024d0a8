"""Read a base model: folder, GGUF weights, tokenizer, size; and the machine it trains on."""

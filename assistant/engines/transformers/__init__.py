"""The transformers engine: PyTorch on a GPU, on ZeroGPU, or on the CPU."""

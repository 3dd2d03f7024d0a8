"""`deploy plan`: how many GPUs a number of people need, with the arithmetic shown."""

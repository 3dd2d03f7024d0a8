"""Which languages a model knows: asked of it once, by a few dozen short questions in each."""

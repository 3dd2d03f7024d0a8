"""Makes weights: data, recipes, XTuner's training, the adapter and the merged model."""

"""Models of the records that stages leave in a run's folder, for whoever reads them."""

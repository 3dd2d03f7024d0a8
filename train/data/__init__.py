"""The data workshop: from a persona to a dataset that is fit to train on."""

"""Training of weights: what calls teach, and the process that trains on them."""

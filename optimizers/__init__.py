"""Optimizers: one published method a file, each a short composition of building blocks."""

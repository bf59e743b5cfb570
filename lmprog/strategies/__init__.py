"""Inference strategies: programs around a program or a signature. One published method a file."""

"""Training of the embedded LM's weights, with PyTorch: `python -m lmprog.lm.tiny.training --help`."""

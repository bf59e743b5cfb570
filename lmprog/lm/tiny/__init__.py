"""The embedded LM: weights of 6 MB and a runtime in numpy, so that everything runs with no key and no network."""

"""Data that code makes up from a seed: what is true first, then texts that say it. No LM can have seen any of it."""

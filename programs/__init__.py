"""Ready programs: one Task a file."""

"""Ready programs: one Task a file; what several of them share lies in folders."""

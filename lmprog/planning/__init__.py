"""What a compile will take and what it can prove, before anything is spent on it."""

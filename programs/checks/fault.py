"""What a check returns."""

Fault = str | None
"""What breaks the instruction, in words that follow "the reply:"; None where it is followed."""

"""What the commands do: `carry_out` finds the one that was asked for, the longest have files."""

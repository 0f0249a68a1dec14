"""One module for each command of `pillarbox`, or for each group of commands."""

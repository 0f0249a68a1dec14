"""Pillarbox for operators: the command line `pillarbox` and its page."""

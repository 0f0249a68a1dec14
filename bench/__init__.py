"""Measurements of speed and cost; each prints a table and writes its figures to bench/results/."""

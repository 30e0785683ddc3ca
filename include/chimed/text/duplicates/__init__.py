"""Decide whether two texts are copies of each other: the rules behind `dedup` (paper §3.2; ours)."""

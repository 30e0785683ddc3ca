"""When are two texts copies of each other? The rules behind `dedup` (paper §3.2; ours)."""

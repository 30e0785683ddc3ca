"""The embedded default: a small replica of the five sites and tiny models made on the spot."""

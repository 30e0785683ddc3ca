"""Provide the demo: a small replica of the five sites, and tiny models trained locally."""

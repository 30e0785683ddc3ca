"""Extraction: from raw pages and files of corpora to records (paper §3.1)."""

"""Extract records from raw pages and from files of corpora (paper §3.1)."""

"""The crawl: from a site's lists to WARC files, one polite connection at a time (paper §3.1)."""

"""Build the replica's sites: one module per site, each with `pages()`."""

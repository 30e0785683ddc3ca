"""Text that was decoded with the wrong charset, found and undone."""

"""Find and repair text that was decoded with the wrong charset."""

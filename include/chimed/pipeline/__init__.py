"""Running the stages of a build, and following a record through them."""

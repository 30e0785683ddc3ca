"""Where everything is kept: the lake's immutable files and the store's tables."""

"""Store everything: the lake's immutable files and the store's tables."""

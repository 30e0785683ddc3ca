"""A build: its options, its inputs, its stages in order, and the ledger that counts every row."""

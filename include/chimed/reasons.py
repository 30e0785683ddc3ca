"""Name the reasons for dropping rows that have nothing wrong with them; several rooms count by them."""

# why pages leave that nothing is wrong with: a shard may lose all of its own so
UNCHANGED = "fetched again unchanged"
DUPLICATE_ROW = "same row twice in the corpus"
OVER_LIMIT = "over max_records"
TAKEN_DOWN = "taken down"
GONE = "gone from its site"
EXPECTED_REASONS = (UNCHANGED, DUPLICATE_ROW, OVER_LIMIT, TAKEN_DOWN, GONE)

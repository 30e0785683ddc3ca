"""Why rows leave that nothing is wrong with: the reasons that several rooms count by."""

# why pages leave that nothing is wrong with: a shard may lose all of its own so
AGAIN = "fetched again unchanged"
TWICE = "same row twice in the corpus"
OVER = "over max_records"
TAKEN_DOWN = "taken down"
GONE = "gone from its site"
NO_ALARM = (AGAIN, TWICE, OVER, TAKEN_DOWN, GONE)

"""Facts that entries of herbs and formulas state, for the graph beside a release's text. Ours."""

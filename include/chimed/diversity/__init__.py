"""What a corpus varies in: topics, near-paraphrases, the medicine that is asked about and what nobody asks. Ours."""

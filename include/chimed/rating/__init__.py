"""Rating: the rubric, the sample, the judge's reply, the classifier that learns from it. Ours; the paper rates nothing."""

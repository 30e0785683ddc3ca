"""Rating: the rubric, the sample, the judge's reply, the classifier that learns from it. Ours, not the paper's."""

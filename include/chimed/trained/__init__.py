"""What is done with a trained model: it is pushed, converted, and talked with. Ours; the paper ends at the scores."""

"""Evaluation (paper §4): lm-eval on medical exams before and after training, and what the difference can mean."""

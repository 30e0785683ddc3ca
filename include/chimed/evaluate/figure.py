"""Accuracy before and after as a figure: every model's points with their intervals, one line an exam."""

import io


def accuracies(points: dict[str, dict[str, tuple[float, tuple[float, float]]]]) -> bytes:
    """Draw a PNG of (share right, its interval) by model and exam; the dotted line is guessing among four."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    tasks = list(dict.fromkeys(task for model in points.values() for task in model))
    figure, axes = plt.subplots(figsize=(7, 1.2 + (0.25 + 0.12 * len(points)) * len(tasks)), layout="constrained")
    for number, (model, shares) in enumerate(points.items()):
        at = [tasks.index(task) + 0.7 / len(points) * (number - (len(points) - 1) / 2) for task in shares]
        right = [share for share, _ in shares.values()]
        below = [share - low for share, (low, _) in shares.values()]
        above = [high - share for share, (_, high) in shares.values()]
        axes.errorbar(right, at, xerr=[below, above], fmt="o", ms=4, capsize=2, label=model)
    axes.axvline(0.25, color="grey", lw=0.8, ls=":")
    axes.set(xlabel="share of right answers, 95 % interval (dotted: guessing)", xlim=(0, 1))
    axes.set_yticks(range(len(tasks)), tasks)
    axes.invert_yaxis()
    axes.legend(loc="lower right", fontsize="small")
    out = io.BytesIO()
    figure.savefig(out, dpi=120)
    plt.close(figure)
    return out.getvalue()

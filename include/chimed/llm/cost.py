"""Measure what asking models costs, for a stage's report. Ours; the paper gives no costs."""

from typing import Any

from chimed.build.context import StageContext
from chimed.llm.protocol import Refused
from chimed.llm.reply import Reply


def measure_cost(answers: list[Reply | Refused], characters: list[int], work: StageContext) -> dict[str, Any]:
    """Return what answers cost, for a stage's report. characters: length of the text that each answer is about.

    Keys: requests, and of these known (already stored) and refused; retried (sent more than once); usage_not_told
    (paid, but the server reported no usage), if there are any. Of the replies paid for now: prompt_tokens,
    completion_tokens, characters, seconds (summed over requests) and wall_seconds (with at least one request in
    flight). If the number of GPUs is known: gpu_seconds, and gpu_seconds per million characters. Shards that share a
    server each count all its GPUs, so their sum is an upper bound.
    """
    replies = [answer for answer in answers if isinstance(answer, Reply)]
    paid = {
        answer.key: (answer, n)
        for answer, n in zip(answers, characters, strict=True)
        if isinstance(answer, Reply) and not answer.known
    }
    bought, about = [reply for reply, _ in paid.values()], sum(n for _, n in paid.values())
    figures = {
        "requests": len(answers),
        "known": sum(reply.known for reply in replies),
        "refused": len(answers) - len(replies),
        "retried": sum(reply.tries > 1 for reply in bought),
        "prompt_tokens": sum(reply.prompt_tokens for reply in bought),
        "completion_tokens": sum(reply.completion_tokens for reply in bought),
        "characters": about,
        "seconds": round(sum(reply.seconds for reply in bought), 3),
        "wall_seconds": round(covered_seconds([(reply.ended - reply.seconds, reply.ended) for reply in bought]), 3),
    }
    untold = sum(not reply.prompt_tokens for reply in bought)
    if untold:
        figures["usage_not_told"] = untold
    where = work.settings
    gpus = where.k8s_serve_gpus if where.serve == "kubernetes" else where.llm_gpus
    if gpus:
        figures["gpu_seconds"] = round(gpus * figures["wall_seconds"], 3)
        figures["gpu_seconds_per_million"] = round(figures["gpu_seconds"] / about * 1e6, 1) if about else 0.0
    return figures


def covered_seconds(spans: list[tuple[float, float]]) -> float:
    """Return the total time that at least one of the spans (start, end) covers."""
    total, until = 0.0, 0.0
    for start, end in sorted(spans):
        total += max(0.0, end - max(start, until))
        until = max(until, end)
    return total

"""What asking models costs: counted after a stage, for its report. Ours; the paper tells none of it."""

from chimed.build.context import Work
from chimed.llm.protocol import Refused
from chimed.llm.reply import Reply


def measure_cost(answers: list[Reply | Refused], characters: list[int], work: Work) -> dict:
    """What the answers cost, for a stage's report; `characters`: of the text that each of them is about.

    Keys: requests, of which known (in the store before) and refused; retried (asked more than once); usage_not_told
    (paid now, and the server did not say what), where there are some. Of those paid now prompt_tokens,
    completion_tokens, characters, seconds (the server's, added up), wall_seconds (with at least one in flight); where
    the server's GPUs are known gpu_seconds and their number per million characters. Shards that ask one server side by
    side each count its GPUs: their sum is an upper bound.
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
    """How long at least one of the spans (start, end) lasted."""
    total, until = 0.0, 0.0
    for start, end in sorted(spans):
        total += max(0.0, end - max(start, until))
        until = max(until, end)
    return total

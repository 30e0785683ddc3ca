"""Ask several generators in turn, so that the answers to a question differ as people's do. Ours.

The paper's two candidates are two samples of one model, and a preference between them says little more than which
sample was longer. Answers of different models differ in what they know and advise. `CHIMED_MORE_GENERATORS` names
further servers beside the generator's; each is asked, waited for and counted by itself, and its replies are stored
under its own model.
"""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace

from chimed.build.context import StageContext
from chimed.build.contract import Question
from chimed.errors import UserError
from chimed.llm import client
from chimed.llm.protocol import Server
from chimed.model_addresses import ModelAddress, read_addresses

SETTING = "CHIMED_MORE_GENERATORS"


def further_generator(address: ModelAddress, work: StageContext, tries: int = client.TRIES) -> Server:
    """Return the server of a further generator. Raises UserError if it does not answer or identify itself."""
    key = work.settings.llm_key.get_secret_value()
    server = Server(address.url, address.model, key, SETTING, named=address.named)
    return client.with_identity(server, address.model, work, tries)


def all_generators(work: StageContext) -> list[Server]:
    """Return the servers of all generators, the first of which is `CHIMED_LLM_URL`'s.

    Raises UserError if one does not answer or identify itself, or if two are the same model: their samples would be
    the same requests, and a question would get the same answer twice.
    """
    found = [client.generator_server(work)]
    for address in read_addresses(work.settings.more_generators):
        server = further_generator(address, work)
        check_is_another(server, found)
        found.append(server)
    return found


def distinct_generator(address: ModelAddress, work: StageContext, tries: int) -> Server:
    """Return the server of a further generator that is no other generator's model, as far as those answer.

    Raises UserError.
    """
    server, others = further_generator(address, work, tries), []
    for other in read_addresses(work.settings.more_generators):
        if other == address:
            break
        with suppress(UserError):  # told where that one is looked at
            others.append(further_generator(other, work, tries))
    with suppress(UserError):
        others.append(client.generator_server(work, tries))
    check_is_another(server, others)
    return server


def check_is_another(server: Server, others: Sequence[Server]) -> None:
    """Raise UserError if a further generator is the model of one of the others."""
    for other in others:
        if server.identity == other.identity:
            raise UserError(
                f"two generators are one model: {server.url} and {other.url} both are {server.identity}; name another "
                f"model in {SETTING}, or take the entry out"
            )


def impartial_judge(work: StageContext, tries: int = client.TRIES) -> Server:
    """Return the judge's server for answers of all generators: it must be none of them, for a model prefers its own.

    Raises UserError if it is one (arXiv 2404.13076: judges favour their own texts), unless the build's option
    `judge_is_generator` allows it.
    """
    judge = client.judge_server(work, tries)
    if not work.options.judge_is_generator:
        for address in read_addresses(work.settings.more_generators):
            if further_generator(address, work, tries).identity == judge.identity:
                raise UserError(
                    f"the judge is one of the generators: {judge.identity}; take it out of {SETTING}, or set "
                    "CHIMED_JUDGE_URL and CHIMED_JUDGE_MODEL to another model (or allow it by the build's option "
                    "judge_is_generator)"
                )
    return judge


def take_turns(question: Question, generators: int) -> tuple[int, Question]:
    """Return the number of the generator that a question goes to, and the question with its sample number there.

    Samples go round from the generator at which the question's turn begins: of four samples two generators write two
    each. The samples of each are numbered from 0, so one generator alone is asked what it always was.
    """
    if generators == 1:
        return 0, question
    sample = question.request.sample
    return (
        (question.turn + sample) % generators,
        replace(question, request=replace(question.request, sample=sample // generators)),
    )

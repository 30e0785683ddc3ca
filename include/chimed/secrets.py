"""Passwords and keys are kept out of all that is said: of errors, logs and tracebacks.

A library that cannot reach a server likes to print the address it tried, with the password in it. So every line for a
person passes `without_secrets`, which knows what is secret by the environment it came from. Ours; the paper is silent.
"""

import os
import re
from functools import lru_cache
from urllib.parse import parse_qsl, unquote, urlsplit

HIDDEN = "***"
SHORTEST = 4  # characters; a shorter secret is no secret, and hiding it would hide words
# settings whose value is a secret, by their names: CHIMED_LLM_KEY, AWS_SECRET_ACCESS_KEY, HF_TOKEN, PGPASSWORD
_SECRET = re.compile(r"(?:KEY|TOKEN|SECRET|PASSWORD|PASSWD|CREDENTIALS|WEBHOOK)$|SECRET|PASSWORD")
_IN_QUERY = re.compile(r"pass|secret|token|key|pwd", re.IGNORECASE)
# the password of an address: what stands between user and host
_IN_ADDRESS = re.compile(r"(://[^\s:/?#@]{0,200}:)[^\s/?#]{1,500}@")


def without_secrets(text: str) -> str:
    """The text with *** in the place of every password and key that this process was given."""
    for secret in known_secrets(tuple(sorted(os.environ.items()))):
        text = text.replace(secret, HIDDEN)
    return _IN_ADDRESS.sub(rf"\1{HIDDEN}@", text)


@lru_cache(maxsize=4)
def known_secrets(variables: tuple[tuple[str, str], ...]) -> tuple[str, ...]:
    """What is secret in these variables, in all forms in which it may be said; the longest first."""
    found: set[str] = set()
    for name, value in variables:
        if _SECRET.search(name):
            found |= _forms(value)
        elif "://" in value and name.startswith(("CHIMED_", "AIRFLOW", "AWS_", "HTTP", "http", "OPENLINEAGE", "OTEL_")):
            found |= _of_address(value)
    return tuple(sorted((one for one in found if len(one) >= SHORTEST and one != "none"), key=len, reverse=True))


def _of_address(value: str) -> set[str]:
    """The password of an address and secrets among its parameters. An address may be written wrongly."""
    try:
        said = urlsplit(value)
        password = said.password or ""
    except ValueError:
        return set()
    found = _forms(password)
    for name, parameter in parse_qsl(said.query):
        if _IN_QUERY.search(name):
            found |= _forms(parameter)
    # a password with a stroke or an @ in it, not written as %2F: everything up to the last @ is meant
    user, _, _host = value.partition("://")[2].rpartition("@")
    return found | _forms(user.partition(":")[2])


def _forms(secret: str) -> set[str]:
    """A secret as it stands, unquoted, and as Python and JSON would show it."""
    plain = unquote(secret)
    return {secret, plain, repr(plain)[1:-1], repr(secret)[1:-1]}

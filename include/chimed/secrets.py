"""Keep passwords and keys out of everything that is printed: errors, logs and tracebacks.

A library that cannot reach a server often prints the address it tried, with the password in it. So every line for a
person passes `without_secrets`, which takes the secrets from the environment. Ours; the paper does not cover it.
"""

import os
import re
from collections.abc import Collection, Mapping
from functools import lru_cache
from urllib.parse import parse_qsl, unquote, urlsplit

MASK = "***"
MIN_SECRET_LENGTH = 4  # characters; a shorter secret is no secret, and hiding it would hide words
# settings whose value is a secret, by their names: CHIMED_LLM_KEY, AWS_SECRET_ACCESS_KEY, HF_TOKEN, PGPASSWORD
_SECRET = re.compile(r"(?:KEY|TOKEN|SECRET|PASSWORD|PASSWD|CREDENTIALS|WEBHOOK)$|SECRET|PASSWORD")
_OURS = ("CHIMED_", "AIRFLOW", "AWS_", "REDIS", "POSTGRES", "PG", "OPENLINEAGE", "OTEL_")
_IN_QUERY = re.compile(r"pass|secret|token|key|pwd", re.IGNORECASE)
# the password of an address: what stands between user and host
_IN_ADDRESS = re.compile(r"(://[^\s:/?#@]{0,200}:)[^\s/?#]{1,500}@")


def without_secrets(text: str) -> str:
    """Return the text with *** for every password and key that this process was given."""
    for secret in known_secrets(tuple(sorted(os.environ.items()))):
        text = text.replace(secret, MASK)
    return _IN_ADDRESS.sub(rf"\1{MASK}@", text)


def harmless(variables: Mapping[str, str], allowed: Collection[str] = ()) -> dict[str, str]:
    """Return the variables that another program may have: no settings of ours or of Airflow, and nothing secret.

    allowed: names of those that it is given all the same.
    """
    return {
        name: value
        for name, value in variables.items()
        if name in allowed
        or not (name.startswith(_OURS) or _SECRET.search(name) or ("://" in value and _secrets_in_address(value)))
    }


@lru_cache(maxsize=4)
def known_secrets(variables: tuple[tuple[str, str], ...]) -> tuple[str, ...]:
    """Return the secrets in these variables, in every spelling in which they may be printed; the longest first."""
    found: set[str] = set()
    for name, value in variables:
        if _SECRET.search(name):
            found |= _spellings(value)
        elif "://" in value and name.startswith(("CHIMED_", "AIRFLOW", "AWS_", "HTTP", "http", "OPENLINEAGE", "OTEL_")):
            found |= _secrets_in_address(value)
    return tuple(
        sorted((one for one in found if len(one) >= MIN_SECRET_LENGTH and one != "none"), key=len, reverse=True)
    )


def _secrets_in_address(value: str) -> set[str]:
    """Return the password of an address and the secrets among its parameters. The address may be malformed."""
    try:
        said = urlsplit(value)
        password = said.password or ""
    except ValueError:
        return set()
    found = _spellings(password)
    for name, parameter in parse_qsl(said.query):
        if _IN_QUERY.search(name):
            found |= _spellings(parameter)
    # a password with a stroke or an @ in it, not written as %2F: everything up to the last @ is meant
    user, _, _host = value.partition("://")[2].rpartition("@")
    return found | _spellings(user.partition(":")[2])


def _spellings(secret: str) -> set[str]:
    """Return a secret as it is, unquoted, and as Python and JSON would show it."""
    plain = unquote(secret)
    return {secret, plain, repr(plain)[1:-1], repr(secret)[1:-1]}

"""Turn errors of the machine or of a library that the user can fix into one sentence. Ours; the paper does not cover
it.

A folder that cannot be written, a full disk, a wrong password of the store: such an error is not a bug, and its
traceback does not help the user. Every error that is not known here keeps its traceback.
"""

import errno

from chimed.characters import short
from chimed.errors import UserError, WorkStopped

MAX_MESSAGE_LENGTH = 300  # characters of what a library says

# what a file or folder is, by the error's number, and what mends it
_FILES = {
    errno.EACCES: "may not be read or written by this user; change its rights or name another place",
    errno.EPERM: "may not be changed by this user; change its rights or name another place",
    errno.EROFS: "is on a read-only file system; name another place",
    errno.ENOENT: "does not exist; check its name",
    errno.ENOTDIR: "leads through something that is not a folder; check its name",
    errno.EISDIR: "is a folder where a file must be; check its name",
    errno.EEXIST: "is a file where a folder must be; remove it or name another place",
    errno.ENAMETOOLONG: "is too long a name for this file system; name another place",
    errno.ELOOP: "is a link that points to itself; name another place",
    errno.EINVAL: "is not a valid name on this file system; choose another",
}
# what nobody did wrong: room is made, and the same command goes on
_MACHINE = {
    errno.ENOSPC: "the disk is full; free some space and run the command again: finished work is kept",
    errno.EDQUOT: "this user's disk quota is used up; free some space and run the command again: finished work is kept",
    errno.EFBIG: "a file became larger than this user or file system allows; raise the limit and run the command again",
    errno.EMFILE: "too many files are open; raise the limit (ulimit -n) and run the command again",
    errno.ENFILE: "too many files are open on this machine; run the command again later",
    errno.ENOMEM: "there is not enough memory; free some and run the command again: finished work is kept",
    errno.EIO: "the disk could not be read or written; check the machine's log",
    errno.ECONNREFUSED: "no server answers there; check the address, and whether the server runs",
    errno.ENETUNREACH: "the network cannot be reached",
    errno.EHOSTUNREACH: "the server cannot be reached; check the address",
    errno.ETIMEDOUT: "the server did not answer in time; run the command again later",
}
# libraries whose errors tell of a server, an address or a right; first words of the module that defines them
_OF_SERVERS = {
    "botocore": "the object store",
    "aiobotocore": "the object store",
    "huggingface_hub": "the Hugging Face Hub",
    "datasets": "the Hugging Face Hub",
    "aiohttp": "the server",
    "httpx": "the server",
    "httpx2": "the Hugging Face Hub",  # what huggingface_hub asks with, and nothing else here
    "httpcore2": "the Hugging Face Hub",
    "requests": "the server",
    "urllib3": "the server",
}

_OF_MODELS = ("accelerate", "datasets", "huggingface_hub", "lm_eval", "peft", "torch", "transformers", "trl", "vllm")


def explain_error(error: BaseException) -> UserError | WorkStopped | None:
    """Return the error as a sentence for the user; None for a bug, which needs its traceback."""
    library = type(error).__module__.split(".")[0]
    if library == "sqlalchemy":
        return _explain_store_error(error)
    if library in _OF_SERVERS:
        return UserError(
            f"{_OF_SERVERS[library]} cannot be used: {_message_of(error)}; check its address and your rights"
        )
    if isinstance(error, ModuleNotFoundError) and (error.name or "").split(".")[0] in _OF_MODELS:
        return UserError(
            f"{error.name} is not installed here; run it with the models' environment: "
            ".venv-models/bin/python -m chimed …"
        )
    if isinstance(error, ModuleNotFoundError) and error.name and not error.name.startswith("chimed"):
        return UserError(
            f"{error.name} is not installed here; this command needs the complete environment: make install, "
            "then .venv/bin/python -m chimed …"
        )
    if isinstance(error, OSError):
        return _explain_file_error(error)
    if isinstance(error, UnicodeEncodeError) and error.reason == "surrogates not allowed":
        return UserError("a name or text on the command line is not valid Unicode; write it in UTF-8")
    return None


def _explain_file_error(error: OSError) -> UserError | WorkStopped | None:
    where = short(str(error.filename or error.filename2 or ""), MAX_MESSAGE_LENGTH)
    if error.errno in _MACHINE:
        return WorkStopped(f"{where}: {_MACHINE[error.errno]}" if where else _MACHINE[error.errno])
    if error.errno in _FILES and where:
        return UserError(f"{where} {_FILES[error.errno]}")
    if error.errno is None or not where:  # of an object store, or of a library that tells no path
        kinds = {
            FileNotFoundError: "does not exist",
            PermissionError: "may not be used",
            FileExistsError: "exists already",
        }
        for kind, words in kinds.items():
            if isinstance(error, kind):
                return UserError(f"a file or folder {words}: {_message_of(error)}; check the address and your rights")
    return None


def _explain_store_error(error: BaseException) -> UserError | None:
    """Explain an error of the store by its driver's message, without the statement: its values are crawled texts."""
    unreadable = type(error).__name__ in ("ArgumentError", "NoSuchModuleError")
    said = getattr(error, "orig", None) or (error if unreadable else None)
    if said is None:
        return None
    return UserError(f"the store cannot be used: {_message_of(said)}; CHIMED_STORE says where it is")


def _message_of(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return short(lines[0], MAX_MESSAGE_LENGTH) if lines else type(error).__name__

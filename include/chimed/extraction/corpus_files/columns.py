"""Map the columns of a corpus's tables, named in Chinese or English, to the records that their rows make."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from chimed.errors import UserError
from chimed.text.exams.options import LETTERS

# a column's role → the names it goes by; of two names for one role the one that stands first here is asked first
ALIASES: dict[str, tuple[str, ...]] = {
    "title": ("title", "标题", "標題", "题目", "題目", "题名", "篇名", "名称", "chapter", "章节", "heading"),
    "question": (
        "question", "questions", "问题", "問題", "提问", "提問", "问", "問", "query", "instruction", "指令", "prompt",
        "q", "患者提问", "咨询问题", "question_text",
    ),
    "ask": (
        "ask", "input", "输入", "输入内容", "描述", "问题描述", "病情描述", "详细描述", "症状描述", "description",
        "detail", "details", "question_detail",
    ),
    "text": (
        "text", "content", "内容", "內容", "正文", "body", "document", "article", "文本", "文章", "原文", "全文",
        "passage",
    ),
    "answer": (
        "answer", "answers", "回答", "答案", "答", "答复", "回复", "医生回答", "医生回复", "专家回答", "output", "输出",
        "response", "reply", "completion", "a", "answer_text", "best_answer", "最佳答案",
    ),
    "department": ("department", "科室", "科別", "科别", "dept", "所属科室", "就诊科室"),
    "messages": (
        "messages", "conversations", "conversation", "dialogue", "dialog", "对话", "對話", "多轮对话", "turns",
    ),
    "history": ("history", "历史", "历史对话"),
    "system": ("system", "系统提示"),
    "herb": ("中药名", "药名", "方剂名", "方名"),
}  # fmt: skip
ROLES = tuple(ALIASES)
# where `--columns` goes on to the next role; a column's own name may hold any mark but a comma
_PARTS = re.compile(rf",|[;，；、](?=\s*(?:{'|'.join(map(re.escape, ROLES))})\s*=)")

# of a choice: a column of all options, or one for each letter (CMMLU's A to D; option.A); the right letters
OPTIONS = ("options", "option", "选项", "选项列表", "choices")
KEYS = ("answer_idx", "answer", "答案", "正确答案", "标准答案", "正确选项", "right_answer", "label")

Form = Literal["conversation", "herb", "qa", "document", "choice"]
_ROLE_OF = {name: role for role, names in ALIASES.items() for name in names}
_FALLBACK_NAMES = ("data", "dialogs")  # HuatuoGPT's lists of what is said in turn; where no other column makes a record
NESTED = "."
_MAX_DEPTH = 4  # levels of nested columns that are opened
_HEADLESS = "If the first line is no header, put one before it. "
_MAX_COLUMNS_SHOWN = 20  # columns named in an error
_MAX_NAME_SHOWN = 40  # characters of a column's name that are shown


@dataclass(frozen=True)
class Plan:
    """How to read rows with some columns. form: what a row makes. columns: role → its columns, in order."""

    form: Form
    columns: Mapping[str, tuple[str, ...]] = field(hash=False)

    @property
    def used(self) -> set[str]:
        """The columns that are read."""
        return {column for columns in self.columns.values() for column in columns}


def parse_columns(said: str | None) -> dict[str, str]:
    """Return `question=问,answer=答` as role → column. Raise UserError for another form or an unknown role."""
    chosen: dict[str, str] = {}
    for part in _PARTS.split(said or ""):
        role, equals, column = (word.strip() for word in part.partition("="))
        if not part.strip():
            continue
        if not equals or role not in ROLES or not column:
            raise UserError(
                f"--columns {said!r}: {part.strip()!r} is not role=column; the roles are {', '.join(ROLES)}, "
                "as in --columns question=问,answer=答"
            )
        chosen[role] = column
    return chosen


def plan_for(columns: Iterable[str], asked: Mapping[str, str]) -> Plan | None:
    """Return how to read rows with these columns; None if they make no record. asked: role → column, which takes
    precedence.

    If the full names make no record, nested columns (`qa.question`, see `flatten`) are known by the last part of their
    name.
    """
    names = {str(column): str(column).strip().lstrip("\ufeff").lower() for column in columns}
    if plan := _plan(names, asked):
        return plan
    return _plan({column: name.rpartition(NESTED)[2] for column, name in names.items()}, {}) if not asked else None


def fallback_plan(row: Mapping[str, object]) -> Plan | None:
    """Return a plan for a row that has a list under a vague name, for when no other column is known."""
    said = tuple(column for column, value in row.items() if column in _FALLBACK_NAMES and isinstance(value, list))
    return Plan("conversation", {"messages": said}) if said else None


def _plan(names: Mapping[str, str], asked: Mapping[str, str]) -> Plan | None:
    """Return the plan for columns by their lower-case names."""
    if choice := _choice(names, asked):
        return choice
    given = {column.strip().lower(): role for role, column in asked.items()}
    found: dict[str, list[tuple[int, str]]] = {}
    for column, name in names.items():
        role = given.get(name) or _ROLE_OF.get(name)
        if role is None or (role in asked and name not in given):
            continue
        found.setdefault(role, []).append((0 if name in given else ALIASES[role].index(name), column))
    roles = {role: tuple(column for _, column in sorted(several)) for role, several in found.items()}
    form = _form(roles)
    return Plan(form, roles) if form else None


def _choice(names: Mapping[str, str], asked: Mapping[str, str]) -> Plan | None:
    """Return the plan of an exam's rows: a question, options and the right one of them; None where one is missing.

    `answer` and `a` are names for one thing elsewhere; beside options A and B, `a` is an option.
    """
    if asked:
        return None
    last = {column: name.rpartition(NESTED)[2] for column, name in names.items()}
    letters = {name.upper(): column for column, name in last.items() if len(name) == 1 and name.upper() in LETTERS}
    listed = [column for column, name in names.items() if name in OPTIONS]
    options = tuple(letters[letter] for letter in sorted(letters)) if {"A", "B"} <= letters.keys() else tuple(listed)
    keys = sorted((KEYS.index(name), column) for column, name in names.items() if name in KEYS)
    questions = sorted(
        (ALIASES["question"].index(name), column)
        for column, name in names.items()
        if name in ALIASES["question"] and column not in options
    )
    if not (options and keys and questions):
        return None
    others = {
        role: tuple(column for column, name in names.items() if name in ALIASES[role]) for role in ("department",)
    }
    found = {"question": (questions[0][1],), "options": options, "answer": tuple(column for _, column in keys)}
    return Plan("choice", found | {role: columns for role, columns in others.items() if columns})


def flatten(row: Mapping[str, object]) -> dict[str, object]:
    """Return a row with nested values as columns: {"qa": {"question": …}} becomes {"qa.question": …}."""
    flat = dict(row)
    for _ in range(_MAX_DEPTH):
        if not any(isinstance(value, dict) for value in flat.values()):
            break
        flat = {
            name: inner
            for column, value in flat.items()
            for name, inner in (
                ((f"{column}{NESTED}{key}", one) for key, one in value.items())
                if isinstance(value, dict)
                else ((column, value),)
            )
        }
    return flat


def _form(roles: Mapping[str, tuple[str, ...]]) -> Form | None:
    if "messages" in roles:
        return "conversation"
    if "herb" in roles:
        return "herb"
    if "answer" in roles and roles.keys() & {"question", "ask", "title", "text"}:
        return "qa"
    if "text" in roles and not roles.keys() & {"question", "ask"}:
        return "document"
    return None


def printable_name(column: object) -> str:
    """Return a column's name in a form that can be printed and stored."""
    return "".join(letter if letter.isprintable() else "?" for letter in str(column)[:_MAX_NAME_SHOWN]) or "(no name)"


def unknown_columns_error(name: str, columns: Iterable[str], asked: Mapping[str, str]) -> UserError:
    """Return the error for a file of which no row makes a record."""
    columns = list(columns)
    lower = {str(column).strip().lstrip("\ufeff").lower() for column in columns}
    wrong = [printable_name(column) for column in asked.values() if column.strip().lower() not in lower]
    missing = f" It has no column {', '.join(wrong)}, which --columns names." if wrong else ""
    found = [printable_name(column) for column in columns]
    told = ", ".join(found[:_MAX_COLUMNS_SHOWN]) + (
        f" and {len(found) - _MAX_COLUMNS_SHOWN} more" if len(found) > _MAX_COLUMNS_SHOWN else ""
    )
    known = "; ".join(f"{role}: {', '.join(names[:8])}" for role, names in ALIASES.items())
    return UserError(
        f"{name} has the columns {told or '(none)'}, from which no record can be made: a record needs a question and "
        f"an answer, a text, messages, or a herb's name.{missing} Name them like this: "
        "--columns question=问,answer=答 (of a nested column: answer=reply.text). "
        f"{_HEADLESS if name.lower().endswith(('.csv', '.tsv')) else ''}"
        f"Known names, in capitals or not: {known}"
    )

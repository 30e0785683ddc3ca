"""Exams that are broken, cut short, or others than their place says: refused in a sentence, and nothing is written."""

import contextlib
import json
import os
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from chimed.errors import UserError
from chimed.evaluate import fetch
from chimed.evaluate.exams import read_exam
from chimed.evaluate.fetch import fetch_exams, sources_of
from chimed.evaluate.tasks import local_exams
from chimed.text.exams.exam_questions import read_questions
from support.exam_mirror import HEADER, whole

Change = Callable[[bytes], bytes]
CMMLU, CEVAL = "haonan-li/cmmlu/cmmlu.zip", "ceval/ceval-exam/ceval-exam.zip"
CMB = "FreedomIntelligence/CMB/CMB-Exam/CMB-test/CMB-test-choice-question-merge.json"
CMB_VAL = "FreedomIntelligence/CMB/CMB-Exam/CMB-val/CMB-val-merge.json"
ANSWERS = "FreedomIntelligence/CMB/CMB-test-choice-answer.json"
CMEXAM, MEDQA = "fzkuji/CMExam/test.json", "bigbio/med_qa/data_clean.zip"
POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n"
PAGE = b"<!DOCTYPE html><html><title>404</title></html>"


def rows(change: Callable[[list], object]) -> Change:
    """A JSON list or JSON lines after a change of its rows."""

    def changed(content: bytes) -> bytes:
        text = content.decode()
        as_list = text.lstrip().startswith("[")
        found = json.loads(text) if as_list else [json.loads(line) for line in text.splitlines()]
        found = found if (new := change(found)) is None else new
        return json.dumps(found).encode() if as_list else "\n".join(map(json.dumps, found)).encode()

    return changed


def every(**fields: object) -> Change:
    return rows(lambda found: [{**row, **fields} for row in found])


def line(number: int, text: str) -> Change:
    def changed(content: bytes) -> bytes:
        found = content.decode().split("\n")
        found[number] = text
        return "\n".join(found).encode()

    return changed


def table(*lines: str) -> Change:
    return lambda _: (HEADER + "\n".join(lines)).encode()


def without_half(found: list) -> list:
    return [row for row in found if row["exam_type"] not in ("护理考试", "医技考试", "医学考研")]


# an archive with the member that is changed, or a file; the change; what the sentence says beside the file's name
BROKEN: list[tuple[str, str, Change, str]] = [
    (CMMLU, "test/genetics.csv", lambda _: b"", "is empty"),
    (CMMLU, "test/genetics.csv", lambda _: b"\n \n\n", "is empty"),
    (CMMLU, "test/genetics.csv", lambda _: b"\xef\xbb\xbf", "is empty"),
    (CMMLU, "test/genetics.csv", table(), "has no questions"),
    (CMMLU, "test/genetics.csv", lambda text: text.decode().encode("gb18030"), "not UTF-8 text"),
    (CMMLU, "test/genetics.csv", lambda text: text.decode().encode("utf-16"), "not UTF-8 text"),
    (CMMLU, "test/genetics.csv", lambda text: text.decode().encode("utf-16-le"), r"NUL|UTF-8"),
    (CMMLU, "test/genetics.csv", lambda text: text[:-3], "6 values for 7 columns"),
    (CMMLU, "test/genetics.csv", lambda text: text.replace(b",Answer", b""), "7 values for 6 columns"),
    (CMMLU, "test/genetics.csv", lambda text: text.replace(b"Question", b"Q"), "no column Question"),
    (CMMLU, "test/genetics.csv", lambda text: text.replace(b",B,C", b",A,C"), "two columns A"),
    (CMMLU, "test/genetics.csv", lambda text: text.replace(b",", b"\t"), "no column Question, A"),
    (CMMLU, "test/genetics.csv", lambda text: text.replace(b",", b";"), "no column Question, A"),
    (CMMLU, "test/genetics.csv", table('0,"问,a,b,c,d,A', "1,问,a,b,c,d,A"), "line 2: a quotation is opened"),
    (CMMLU, "test/genetics.csv", table("0,甲,乙,哪个,a,b,c,d,A"), "9 values for 7 columns"),
    (CMMLU, "test/genetics.csv", table("0,问,a,b,c,d,E"), "row 1: the answer is 'E'"),
    (CMMLU, "test/genetics.csv", table("0,问,a,b,c,d,"), "row 1: the answer is ''"),
    (CMMLU, "test/genetics.csv", table("0,问,a,b,c,d,A", "1,问,a,b,c,d,答案"), "row 2: the answer is '答案'"),
    (CMMLU, "test/genetics.csv", table("0,问,,,,,A"), "two options or more"),
    (CMMLU, "test/genetics.csv", table("0,问,a,,,,A"), "two options or more"),
    (CMMLU, "test/genetics.csv", table("0,  ,a,b,c,d,A"), "there is no question"),
    (CMMLU, "test/genetics.csv", table("0,问\0,a,b,c,d,A"), "NUL"),
    (CMMLU, "test/genetics.csv", table(f"0,{'问' * 200_000},a,b,c,d,A"), "line 2, is not CSV"),
    (CMMLU, "test/genetics.csv", lambda _: PAGE, "is a web page"),
    (CMMLU, "test/genetics.csv", lambda _: POINTER, "git lfs pull"),
    (CMMLU, "test/genetics.csv", table("0,Which one?,a,b,c,d,A"), "no Chinese character"),
    (CMMLU, "test/genetics.csv", table("0,anatomy的题？,a,b,c,d,A"), "ask the same questions"),
    (CMMLU, "test/genetics.csv", table("0,genetics的例？,a,b,c,d,A"), "ask the same questions"),
    (CMMLU, "dev/virology.csv", lambda _: b"", "is empty"),
    (CMMLU, "dev/virology.csv", table("0,例,a,b,c,d,X"), "row 1: the answer is 'X'"),
    (CEVAL, "val/physician_val.csv", lambda text: text.replace(b"answer", b"right"), "no column Answer"),
    (CEVAL, "val/physician_val.csv", lambda _: b"id,question,A,B,C,D,answer\n", "has no questions"),
    (CMB, "", lambda _: b"", "is empty"),
    (CMB, "", lambda _: b"[]", "has no questions"),
    (CMB, "", lambda _: b"{}", "has answers to 0 of the 1 questions"),
    (CMB, "", lambda text: text[: len(text) // 2], "line .* is not JSON"),
    (CMB, "", lambda text: text.decode().encode("gb18030"), "not UTF-8 text"),
    (CMB, "", lambda _: b"[1, 2]", "number 1 is no object"),
    (CMB, "", lambda _: b"[" * 100_000, "cannot be read|not JSON"),
    (CMB, "", lambda _: b'[{"id": ' + b"9" * 10_000 + b"}]", "cannot be read"),
    (CMB, "", lambda _: POINTER, "git lfs pull"),
    (CMB, "", lambda _: PAGE, "is a web page"),
    (CMB, "", rows(without_half), "has no questions of 护理考试, 医技考试, 医学考研"),
    (CMB, "", every(option=None), "has 0 of two or more options"),
    (CMB, "", every(option={"A": "甲"}), "has 1 of two or more options"),
    (CMB, "", every(option={"AB": "甲", "": "乙"}), "has 0 of two or more options"),
    (CMB, "", every(option={"A": ["甲"], "B": {"丙": 1}}), "has 0 of two or more options"),
    (CMB, "", every(question=""), "has no question; its fields are id"),
    (CMB, "", every(question="\ud800"), "half a character"),
    (CMB, "", every(exam_type="驾驶考试"), "none of CMB's six"),
    (CMB, "", every(answer="Z"), "its answer is 'Z'"),
    (CMB_VAL, "", lambda _: b"[]", "has no questions"),
    (CMB_VAL, "", every(answer="F"), "its answer is 'F'"),
    (ANSWERS, "", lambda _: b"[]", "has answers to . of the 44 questions"),
    (ANSWERS, "", rows(lambda found: found[:4]), "has answers to . of the 44 questions"),
    (ANSWERS, "", lambda text: text[:-3], "is not JSON"),
    (ANSWERS, "", lambda _: b"", "is empty"),
    (CMEXAM, "", line(3, '{"Question": "问'), "line 4, is not JSON"),
    (CMEXAM, "", line(3, "null"), "number 4 is no object"),
    (CMEXAM, "", lambda _: b"", "is empty"),
    (CMEXAM, "", every(Options="没有字母"), "has 0 of two or more options"),
    (CMEXAM, "", every(Answer=["A", "Z"]), "its answer is 'AZ'"),
    (
        CMEXAM,
        "",
        lambda _: (b'{"question": "\xe9\x97\xae", "option": {}}\n') * 4,
        "no Question; its fields are question",
    ),
    (MEDQA, "data_clean/questions/Mainland/test.jsonl", lambda text: text[:-20], "line 2, is not JSON"),
    (MEDQA, "data_clean/questions/Mainland/test.jsonl", lambda _: b"", "is empty"),
    (MEDQA, "data_clean/questions/Mainland/test.jsonl", every(question="A 35-year-old man"), "no Chinese character"),
    (MEDQA, "data_clean/questions/Mainland/test.jsonl", every(answer_idx="H"), "its answer is 'H'"),
    (MEDQA, "data_clean/questions/Mainland/dev.jsonl", every(options=[]), "has 0 of two or more options"),
]


@pytest.fixture(scope="module")
def mirror(tmp_path_factory) -> Path:
    return whole(tmp_path_factory.mktemp("mirror"))


def changed(mirror: Path, target: Path, file: str, member: str, change: Change) -> Path:
    """A copy of the mirror in which one file, or one member of an archive, is another."""
    shutil.copytree(mirror, target)
    path = target / file
    if not member:
        path.write_bytes(change(path.read_bytes()))
        return target
    with zipfile.ZipFile(mirror / file) as before, zipfile.ZipFile(path, "w") as after:
        for name in before.namelist():
            content = before.read(name)
            after.writestr(name, change(content) if name == member else content)
    return target


def refused(mirror: Path, tmp_path: Path, says: str) -> str:
    """The sentence that a mirror is refused with; nothing was written."""
    with pytest.raises(UserError, match=f"(?s){says}") as error:
        fetch_exams(tmp_path / "exams", mirror, ("cmb", "cmexam", "medqa"))
    assert not (tmp_path / "exams").exists()
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize(("file", "member", "change", "says"), BROKEN)
def test_a_broken_file_is_named(mirror, tmp_path, file: str, member: str, change: Change, says: str) -> None:
    said = refused(changed(mirror, tmp_path / "hub", file, member, change), tmp_path, says)
    assert Path(file).name in said
    assert Path(member).name in said


@pytest.mark.parametrize("file", [CMMLU, CEVAL, MEDQA])
@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda content: content[:-30], "not a whole zip archive"),
        (lambda content: content[: len(content) // 2], "not a whole zip archive"),
        (lambda _: b"", "is empty"),
        (lambda _: POINTER, "git lfs pull"),
        (lambda _: PAGE, "is a web page"),
        (lambda _: b"PK\x03\x04torn", "not a whole zip archive"),
    ],
)
def test_an_archive_cut_short_is_named(mirror, tmp_path, file: str, change: Change, says: str) -> None:
    said = refused(changed(mirror, tmp_path / "hub", file, "", change), tmp_path, says)
    assert Path(file).name in said


@pytest.mark.parametrize("at", range(0, 4000, 197))
def test_a_flipped_byte_is_no_traceback(mirror, tmp_path, at: int) -> None:
    """Of an archive: refused, or read as it was (dates, and what no reader looks at)."""

    def flip(content: bytes) -> bytes:
        at_here = at % len(content)
        return content[:at_here] + bytes([content[at_here] ^ 0xFF]) + content[at_here + 1 :]

    target = changed(mirror, tmp_path / "hub", CMMLU, "", flip)
    said = ""
    try:
        fetch_exams(tmp_path / "exams", target)
    except UserError as error:
        said = str(error)
    assert (tmp_path / "exams").exists() != ("cmmlu" in said)


def test_a_huge_file_is_refused_unread(mirror, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("chimed.text.exams.exam_table.MOST_BYTES", 1000)
    target = changed(mirror, tmp_path / "hub", CMMLU, "", lambda content: content)
    with (target / CMB).open("wb") as file:
        file.truncate(300_000_000)
    refused(target, tmp_path, "300,000,000 bytes, more than any exam has")
    monkeypatch.setattr("chimed.evaluate.repository_files.MOST_BYTES", 10)
    refused(mirror, tmp_path, r"genetics.csv in .*cmmlu.zip has \d+ bytes")


@pytest.mark.parametrize("kind", ["loop", "folder", "pipe", "dangling", "device"])
def test_what_is_no_file_is_refused(mirror, tmp_path, kind: str) -> None:
    target = changed(mirror, tmp_path / "hub", CMMLU, "", lambda content: content)
    path = target / CMB
    path.unlink()
    if kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    else:
        path.symlink_to({"loop": path, "dangling": tmp_path / "nowhere", "device": Path("/dev/zero")}[kind])
    (path.parent / "around").symlink_to(target, target_is_directory=True)  # a folder that leads to itself
    assert path.name in refused(target, tmp_path, "is a folder|is not a file|cannot be read|has no")


def test_a_folder_with_nothing_says_what_it_has(mirror, tmp_path) -> None:
    target = changed(mirror, tmp_path / "hub", CMMLU, "", lambda content: content)
    (target / CMMLU).unlink()
    refused(target, tmp_path, r"cmmlu has no test/genetics.csv.*; it has cmmlu.py")
    (target / CMMLU).parent.joinpath("cmmlu.py").unlink()
    refused(target, tmp_path, "it has no files")
    (tmp_path / "a file").write_text("")
    with pytest.raises(UserError, match="a file is a file; name a folder"):
        fetch_exams(tmp_path / "a file", mirror)


def test_an_unreadable_file_leaves_the_exams(mirror, tmp_path) -> None:
    """What was fetched before stays as it was, when a later fetch fails."""
    fetch_exams(tmp_path / "exams", mirror)
    before = {path: path.read_bytes() for path in (tmp_path / "exams").rglob("*.csv")}
    target = changed(mirror, tmp_path / "hub", CEVAL, "val/physician_val.csv", lambda _: b"")
    with pytest.raises(UserError, match="is empty"):
        fetch_exams(tmp_path / "exams", target)
    assert {path: path.read_bytes() for path in (tmp_path / "exams").rglob("*.csv")} == before


def test_a_whole_mirror_is_fetched_and_read_back(mirror, tmp_path) -> None:
    counts = fetch_exams(tmp_path / "exams", mirror, ("cmb", "cmexam", "medqa", "cmb"))
    fetch_exams(tmp_path / "exams", mirror)  # what lies there from before stays, and where it is from
    assert {name: len(read_exam(tmp_path / "exams" / "test" / f"{name}.csv").rows) for name in counts} == counts
    assert set(sources_of(tmp_path / "exams") or {}) == {
        *fetch.EXAMS,
        "FreedomIntelligence/CMB",
        "fzkuji/CMExam",
        "bigbio/med_qa",
    }


@pytest.mark.parametrize(
    ("file", "member", "change", "says"), [case for case in BROKEN if case[1].endswith("genetics.csv")]
)
def test_own_exams_are_checked_alike(tmp_path, file: str, member: str, change: Change, says: str) -> None:
    """What evaluate reads from CHIMED_EXAMS; and decontaminate, which needs questions only."""
    path = tmp_path / "exams" / "test" / "genetics.csv"
    path.parent.mkdir(parents=True)
    good = f"{HEADER}0,问题是什么？,甲,乙,丙,丁,C\n"
    path.write_bytes(change(good.encode()))
    if "Chinese" in says or "ask the same" in says:
        return  # an exam of one's own may be in any language, and alone it is nobody's double
    (tmp_path / "work").mkdir()
    with pytest.raises(UserError, match=says) as error:
        local_exams(tmp_path / "exams", tmp_path / "work")
    assert "genetics.csv" in str(error.value)
    with contextlib.suppress(UserError):  # whatever else it raises is a fault
        read_questions(str(tmp_path / "exams"))


@pytest.mark.parametrize("name", ["a b", "x,y", "[ab]", "a.b", "-x", "测 验"])
def test_an_exams_name_is_a_word(tmp_path, name: str) -> None:
    (tmp_path / "test").mkdir()
    (tmp_path / "test" / f"{name}.csv").write_text(f"{HEADER}0,问,甲,乙,丙,丁,C\n", encoding="utf-8")
    with pytest.raises(UserError, match="rename it"):
        local_exams(tmp_path, tmp_path)


@pytest.mark.parametrize("text", ["", "{", "[1]", "\udcff"])
def test_torn_sources_are_said_before_scoring(tmp_path, text: str) -> None:
    (tmp_path / "sources.json").write_text(text, encoding="utf-8", errors="surrogateescape")
    with pytest.raises(UserError, match=r"sources\.json"):
        sources_of(tmp_path)

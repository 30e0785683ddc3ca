"""A build without models: what it skips, what it still finds, what it does not ask for."""

from dataclasses import replace

from chimed.build import order
from chimed.build.options import MODEL_STAGES, Options, without_models
from chimed.operations import check
from chimed.stages import filter as filters
from chimed.stages import screen
from support.samples import document, judged, model_outcome, qa, rows

LONG = "感冒后咳嗽，可以多喝温水，注意休息；如果发热超过三天或者气促胸痛，请及时到医院就诊。"


def test_without_models_keeps_chosen_options(monkeypatch) -> None:
    made = without_models({"skip": ["prefer"], "max_records": 9}, None)
    options = Options(**made)
    assert options.max_records == 9
    skipped = ("prefer", "perplexity", "department", "translate", "generate_qa", "reason", "rate", "decontaminate")
    assert options.skip == skipped
    assert not options.screen_model
    assert "decontaminate" not in without_models({}, "exams")["skip"]
    monkeypatch.setattr("chimed.build.options.find_spec", lambda package: None)
    assert without_models({}, None)["skip"] == [*MODEL_STAGES, "diversify", "decontaminate"]
    needs = {one.name for one in order.STAGES if one.needs != "cpu" or one.asks_models}
    assert needs == {*MODEL_STAGES, "screen"}
    assert all(order.stage(name).skippable for name in MODEL_STAGES)


def test_without_scores_only_short_texts_leave(work) -> None:
    here = replace(work, options=Options(**without_models({"perplexity_cut": 0.5}, None)))
    short = [document("龙涎香，性味不详。"), document("甘草" * 14 + "。"), document("COVID19 " * 20)]
    whole = [
        document(LONG),
        document("甘草" * 15),
        qa("咳嗽三天怎么办，需要吃药吗？", "多喝水，注意休息，三天不退热到医院。"),
    ]
    found = judged(filters, rows(*short, *whole), here)
    assert set(found.kept["id"]) == {one["id"] for one in whole}
    assert dict(found.dropped.group_by("reason").len().iter_rows()) == {"too short": 3}
    assert found.dropped.filter(id=short[0]["id"])["detail"].to_list() == ["9 tokens"]


def test_rules_find_phones_without_models(work) -> None:
    here = replace(work, options=Options(**without_models({}, None)))
    calls, quiet = document(f"{LONG}我的手机号是13900010234。"), document(LONG)
    found = model_outcome(screen, rows(calls, quiet), here)
    assert found.kept["id"].to_list() == [quiet["id"]]
    assert found.dropped["reason"].to_list() == ["identifier: mobile number"]


def test_check_needs_no_server_or_gpu(work) -> None:
    here = replace(work, options=Options(**without_models({}, None)))
    found = check.run_checks(here)
    assert [one.what for one in found] == [
        *("machine", "lake", "store", "disk", "contact", "notices", "GPUs", "recipe"),
    ]
    assert not [one for one in found if one.stops and not one.fine]

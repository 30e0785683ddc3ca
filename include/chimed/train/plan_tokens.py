"""How much a phase trains on: rows and tokens of a release, counted with the recipe's tokenizer or by kind of text.

Where the tokenizer is on this machine, a release of up to `COUNTED` rows is tokenized as training does it, so rows that
`max_length` loses, packing and steps come out exactly; of a larger one a sample is. Without the tokenizer, characters
are divided by what Qwen3's tokenizer makes of their kind of text.
"""

import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from chimed.storage import copies, layout
from chimed.storage import lake as lakes
from chimed.storage.lake import Lake
from chimed.train.run import SUBSET

# Characters a token, measured with Qwen3's tokenizer on texts of the five sites
CLASSICS, HERBS, ANSWERS = 1.06, 1.29, 1.58
# Documents of the book site are classics, those of the herb sites are about herbs; an answer of a doctor is the
# language of the internet. What else there is goes by its domain.
BY_SOURCE = {"zydcd": CLASSICS, "zhongyoo": HERBS, "cnkang": HERBS, "ask39": ANSWERS, "ask120": ANSWERS}
BY_DOMAIN = {"tcm": HERBS, "general": ANSWERS}

# Rows and characters of the paper's Table 4 by domain, where there is no release to count. Its documents of traditional
# medicine are books, for the most part classical ones.
TABLE_4 = {
    "cpt": {CLASSICS: (160_800, 55.7e6), HERBS: (4_000, 2.1e6)},
    "sft": {HERBS: (9_800, 11.2e6), ANSWERS: (341_800, 127.1e6)},
    "dpo": {HERBS: (11_700, 2.3e6), ANSWERS: (30_000, 6.0e6)},
}
HELD_OUT = 0.05  # share of rows held out for validation, where there is no release to count
# What the template puts around a row: the end of a text; two turns of ChatML and the empty thinking block, twice where
# a row has two answers
AROUND = {"cpt": 1, "sft": 14, "dpo": 28, "kto": 14, "orpo": 28}

PAIRS = ("dpo", "kto", "orpo")
# Of grpo where the recipe does not say: exam items, and tokens of one with its options
ITEMS, PROMPT = 4_000, 150

COUNTED = 20_000  # rows of a split that are all tokenized; 200 characters each take about a minute on one core
SAMPLED = 2_000


@dataclass(frozen=True)
class Counts:
    """What a phase has to train on. sequences: rows of an epoch, packed ones where the recipe packs.

    tokens: of an epoch. held: sequences of the validation split. characters: of an epoch; how: what was counted.
    padding: tokens that a batch has beside each of its own, as its rows are as long as the longest. longest: tokens of
    the longest row, where every row was tokenized; sample: of some rows, where any was.
    """

    rows: int
    characters: float
    tokens: float
    sequences: int
    held: float
    how: str
    padding: float = 0.0
    longest: int | None = None
    sample: tuple[int, ...] = ()

    @property
    def text(self) -> float:
        """Tokens of a row of the release, packed or not, in the mean."""
        return self.tokens / max(1, self.rows)

    @property
    def density(self) -> float:
        """Characters a token."""
        return self.characters / self.tokens if self.tokens else 0.0


def of_paper(phase: str, fields: dict[str, Any]) -> Counts:
    """Return what a phase has in the paper's Table 4."""
    if phase == "grpo":
        return of_items(fields)
    found = by_kind(phase, TABLE_4["dpo" if phase in PAIRS else phase], fields)
    return _mixed(_single(found, phase), fields)


def of_items(fields: dict[str, Any]) -> Counts:
    """Return what grpo has: several answers to each exam item, as many as the recipe takes at most."""
    items, each = fields.get("most_items") or ITEMS, fields.get("num_generations") or 8
    rows = items * each
    tokens = rows * (PROMPT + (fields.get("max_completion_length") or 256))
    held = rows * (fields.get("items_held_out") or 0.0)
    return Counts(rows, 0.0, float(tokens), rows, held, f"{items:,} items, answers of full length")


def _single(found: Counts, phase: str) -> Counts:
    """Return the counts of pairs as single answers, where a phase learns from each answer alone."""
    return replace(found, sequences=2 * found.sequences, held=2 * found.held) if phase == "kto" else found


def _mixed(found: Counts, fields: dict[str, Any]) -> Counts:
    """Return the counts with the general data that the recipe mixes in, which are as long as the release's own."""
    if not (share := fields.get("mix_share")):
        return found
    return replace(
        found,
        rows=round(found.rows / (1 - share)),
        characters=found.characters / (1 - share),
        tokens=found.tokens / (1 - share),
        sequences=math.ceil(found.sequences / (1 - share)),
        how=f"{found.how}; {share:.0%} of the tokens are general data",
    )


def by_kind(
    phase: str, kinds: dict[float, tuple[int, float]], fields: dict[str, Any], held: float | None = None
) -> Counts:
    """Return counts from (rows, characters) by characters a token. held: rows of the validation split."""
    rows = sum(count for count, _ in kinds.values())
    characters = sum(many for _, many in kinds.values())
    tokens = sum(many / density for density, (_, many) in kinds.items()) + rows * AROUND.get(phase, 14)
    sequences = _sequences(rows, tokens, fields)
    share = HELD_OUT if held is None else held / max(1, rows)
    return Counts(rows, characters, tokens, sequences, sequences * share, "characters by kind of text")


def _sequences(rows: int, tokens: float, fields: dict[str, Any]) -> int:
    return math.ceil(tokens / fields["max_length"]) if fields.get("packing") else rows


def kinds_of(known: dict[str, Any], subset: str) -> dict[float, tuple[int, float]]:
    """Return (rows, characters) of a subset by characters a token, of both splits. known: its statistics.json."""
    found: dict[float, tuple[int, float]] = {}
    places = known.get("places") or [{"source": "", **row} for row in known["table 4"]]
    for row in places:
        if row["subset"] == subset:
            answers = subset == "pretrain" or row["domain"] == "general"
            density = BY_SOURCE.get(row["source"], BY_DOMAIN[row["domain"]]) if answers else BY_DOMAIN["tcm"]
            rows, characters = found.get(density, (0, 0.0))
            found[density] = (rows + row.get("rows", 0), characters + row["characters"])
    return found


def of_release(lake: Lake, release: str, phase: str, fields: dict[str, Any], tokenizer: Any | None) -> Counts:
    """Return what a phase has in a release. tokenizer: of the model, None where it is not on this machine."""
    if phase == "grpo":
        return of_items(fields)
    return _mixed(_single(_of_subset(lake, release, phase, fields, tokenizer), phase), fields)


def _of_subset(lake: Lake, release: str, phase: str, fields: dict[str, Any], tokenizer: Any | None) -> Counts:
    subset = SUBSET[phase]
    known = lakes.read_json(lake, layout.release(release, layout.STATISTICS))
    train, held = (known["splits"].get(f"{subset}/{split}", 0) for split in ("train", "validation"))
    share = train / max(1, train + held)
    kinds = {density: (round(rows * share), many * share) for density, (rows, many) in kinds_of(known, subset).items()}
    if kinds and not any(rows for rows, _ in kinds.values()):  # an earlier release counts rows by split only
        first = next(iter(kinds))
        kinds[first] = (train, kinds[first][1])
    files = {split: layout.release(release, subset, f"{split}.parquet") for split in ("train", "validation")}
    if tokenizer is None or not train or not lakes.exists(lake, files["train"]):
        return by_kind(phase, kinds, fields, held)
    paths = {split: copies.local_path(lake, file) for split, file in files.items() if lakes.exists(lake, file)}
    return _tokenized(phase, paths, fields, tokenizer, sum(many for _, many in kinds.values()))


def _tokenized(phase: str, paths: dict[str, Path], fields: dict[str, Any], tokenizer: Any, characters: float) -> Counts:
    """Return counts of the rows themselves; of a sample of them, spread over the file, where there are many."""
    import datasets

    from chimed.train.tokens import COLUMNS, tokenized

    datasets.disable_progress_bars()
    rows = datasets.Dataset.from_parquet(str(paths["train"])).select_columns(COLUMNS[phase])
    many = len(rows)
    if many > COUNTED:
        rows = rows.select(range(0, many, many // SAMPLED))
    lengths = tokenized(phase, rows, fields, tokenizer)
    grown = many / len(rows)
    kept = round(len(lengths) * grown)
    tokens = sum(lengths) * grown
    exact = grown == 1 and fields.get("packing")
    sequences = packed(lengths, fields) if exact else _sequences(kept, tokens, fields)
    held = 0.0
    if "validation" in paths:
        from pyarrow import parquet

        held = sequences * parquet.read_metadata(paths["validation"]).num_rows / max(1, many)
    padding = 0.0 if fields.get("packing") else _padding(lengths, fields["per_device_train_batch_size"])
    how = "every row tokenized" if grown == 1 else f"{len(rows):,} of {many:,} rows tokenized"
    sample = tuple(lengths[:SAMPLED])
    longest = max(lengths, default=0) if grown == 1 and not fields.get("packing") else None
    return Counts(many, characters, tokens, sequences, held, how, padding, longest, sample)


def _padding(lengths: list[int], batch: int) -> float:
    """Return padded tokens beside each real one, in batches of rows in any order."""
    order = np.random.default_rng(0).permutation(np.asarray(lengths))
    whole = order[: len(order) // batch * batch].reshape(-1, batch)
    return float(whole.max(1).sum() * batch / whole.sum() - 1) if whole.size else 0.0


def packed(lengths: list[int], fields: dict[str, Any]) -> int:
    """Return how many sequences rows of these lengths become, by the very packing that the trainer uses."""
    import datasets
    from trl import pack_dataset

    rows = datasets.Dataset.from_dict({"input_ids": [[0] * length for length in lengths]})
    return len(pack_dataset(rows, fields["max_length"], fields.get("packing_strategy", "bfd")))

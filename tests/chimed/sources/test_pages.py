"""Every page of `pages/<source>/` gives the records beside it. The pages are made by hand, their texts invented."""

import json
import re
from dataclasses import asdict
from pathlib import Path

import pytest
from parsel import Selector

from chimed.sources.page import Miss, load, read_page
from chimed.sources.text import decode

PAGES = sorted((Path(__file__).parent / "pages").glob("*/*.html"))


@pytest.mark.parametrize("file", PAGES, ids=lambda file: f"{file.parent.name}/{file.stem}")
def test_page(file):
    site = load(file.parent.name)
    text = decode(file.read_bytes(), None, site.encoding)
    url = re.match(r"<!-- (\S+) -->", text)
    assert url, "the first line says the page's URL"
    read = read_page(site, site.canonical(url.group(1)), Selector(text=text))
    found = {"miss": read.reason} if isinstance(read, Miss) else [asdict(one) for one in read]
    assert json.loads(json.dumps(found, default=str)) == json.loads(file.with_suffix(".json").read_text())

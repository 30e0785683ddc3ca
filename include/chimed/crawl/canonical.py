"""The one form of an address, by which two addresses of a page are known as one. For `dedup` (paper §3.2: by URL)."""

from collections.abc import Iterable

import polars as pl

from chimed.sources.page import TRACKING, load


def host_forms(sources: Iterable[str]) -> dict[str, str]:
    """Other names of the sites' hosts, as the sites' files say, and the name that stands for all of them."""
    forms = {}
    for site in map(load, sources):
        for host in site.hosts:
            forms[host.removeprefix("www.")] = host
        forms |= dict.fromkeys(site.twins, site.hosts[0])
    return forms


def canonical(url: pl.Expr, hosts: dict[str, str]) -> pl.Expr:
    """Normalize URLs for comparison: no scheme, port, fragment, tracking or trailing slash; a sorted query."""
    bare = url.str.strip_chars().str.replace(r"#.*$", "").str.replace(r"(?i)^https?://", "")
    host = bare.str.extract(r"^([^/?]*)").str.to_lowercase().str.replace(r":(80|443)$", "").replace(hosts)
    path = bare.str.extract(r"^[^/?]*(/[^?]*)").fill_null("").str.replace_all(r"/{2,}", "/")
    path = path.str.replace(r"/index\.html?$", "/").str.strip_chars_end("/")
    tracking = rf"^(utm_\w+|{'|'.join(TRACKING)})(=|$)"
    wanted = pl.element().filter(~pl.element().str.contains(tracking) & (pl.element() != "")).sort()
    query = bare.str.extract(r"\?(.*)$").str.split("&").list.eval(wanted).list.join("&")
    return pl.concat_str(
        host, path, pl.when(query.str.len_chars() > 0).then(pl.format("?{}", query)).otherwise(pl.lit(""))
    )

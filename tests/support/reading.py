"""What the tests of the parsers share. Fixtures are made by hand to what is known of a site; none is a saved page."""

from parsel import Selector

from chimed.sources.page import Site


def read(site: Site, url: str, html: str):
    """What the site's parser makes of a page."""
    return site.read(site.canonical(url), Selector(text=html))


def links(site: Site, url: str, html: str) -> list[tuple[str, str, str | None]]:
    """(kind, URL, day) of what a list page leads to."""
    found = site.links(url, Selector(text=html))
    return [(link.kind, link.url, link.published and str(link.published)) for link in found]

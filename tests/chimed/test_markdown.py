"""Crawled words in Markdown stand as they are, whatever they hold."""

from chimed.release.markdown import quoted


def test_text_is_shown_as_it_is() -> None:
    assert quoted("a\nb  c", 60) == "a b c"
    assert quoted("{{ x }} `y` <b>", 60) == r"\{\{ x \}\} \`y\` &lt;b&gt;"
    assert quoted("http://evil www.evil a:b", 60) == r"http\://evil www\.evil a:b"
    assert len(quoted("长" * 500, 60)) == 60

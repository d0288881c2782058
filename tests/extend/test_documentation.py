"""Every example of `docs/extending.md` does what the page says."""

from __future__ import annotations

from tests import pages

PAGE = "extending.md"


def test_the_examples_of_the_page() -> None:
    pages.check_session(PAGE, at_least=41)


def test_links_of_the_page() -> None:
    named = pages.links(PAGE)
    assert named and all(path.exists() for path in named)

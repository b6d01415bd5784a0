"""The frame of every page mnas writes: one file that needs nothing but a browser."""

import base64
import hashlib
from pathlib import Path

from plotly.offline import get_plotlyjs

from mnas.results.markup import Child, Html, element, join, trusted

_HERE = Path(__file__).parent


def page(
    *, title: str, kicker: str, heading: str, facts: Child, sections: list[tuple[str, str, Html]]
) -> str:
    """A whole document: style, script and plotly.js inside, nothing loaded.

    Its content policy lets the browser run nothing but these two scripts.

    Args:
        title: Of the browser's window.
        kicker: What kind of page it is.
        heading: What it is about.
        facts: One line under the heading.
        sections: Place, title (may be empty) and content of each.

    Returns:
        The text of the file.
    """
    style = (_HERE / "report.css").read_text(encoding="utf-8")
    scripts = [get_plotlyjs(), (_HERE / "report.js").read_text(encoding="utf-8")]
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=_policy(scripts)),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("title", title),
        element("style", trusted(style)),
    )
    body = element(
        "body",
        element(
            "header",
            element("p", kicker, class_="kicker"),
            element("h1", heading),
            element("p", facts, class_="facts"),
        ),
        element("main", join(*(_section(*section) for section in sections))),
        element(
            "noscript",
            "The plots need JavaScript, which is inside this file; nothing is loaded.",
        ),
        *(element("script", trusted(script)) for script in scripts),
    )
    return f"<!doctype html>\n{element('html', head, body, lang='en')}\n"


def _section(place: str, title: str, content: Html) -> Html:
    return element("section", element("h2", title) if title else None, content, id=place)


def _policy(scripts: list[str]) -> str:
    """A content security policy under which only these scripts can run."""
    hashes = " ".join(
        f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"
        for script in scripts
    )
    return (
        f"default-src 'none'; script-src {hashes}; style-src 'unsafe-inline'; img-src data: blob:"
    )

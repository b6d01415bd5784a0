"""HTML from values: whatever is a plain string is escaped, always.

Names of networks, spaces and targets come from files that strangers write. Only what this module
made itself passes as markup, so that a forgotten escape is not possible.
"""

import html
import json
from typing import Any, Final


class Html(str):
    """Text that is markup already; only `element`, `join` and `trusted` make it."""

    __slots__ = ()


Child = str | int | float | None
_VOID: Final = frozenset({"meta", "br", "hr", "rect", "polygon", "line", "circle", "path"})
EMPTY: Final = Html("")


def element(name: str, /, *children: Child, **attributes: str | int | float | bool | None) -> Html:
    """One element with its children.

    Args:
        name: The element's name, ours and never from a file.
        children: Text is escaped, markup of this module is not; None is left out.
        attributes: `class_` for class, `_` for `-`; None and False are left out, True stands
            without a value.

    Returns:
        The element as markup.
    """
    written = "".join(
        f" {_attribute_name(key)}"
        + ("" if value is True else f'="{html.escape(str(value), quote=True)}"')
        for key, value in attributes.items()
        if value is not None and value is not False
    )
    if name in _VOID:
        return Html(f"<{name}{written}>" if name in ("meta", "br", "hr") else f"<{name}{written}/>")
    return Html(f"<{name}{written}>{join(*children)}</{name}>")


def join(*children: Child) -> Html:
    """Children side by side, text escaped."""
    return Html("".join(map(_escaped, children)))


def trusted(text: str) -> Html:
    """Markup, style or script that comes from this package; never from a run."""
    return Html(text)


def json_element(value: Any, **attributes: str) -> Html:
    """Data for a script: JSON that cannot end its element or begin another one."""
    text = json.dumps(value, allow_nan=False)
    for sign in "<>&\u2028\u2029":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return element("script", trusted(text), type="application/json", **attributes)


def table(head: list[Child], rows: list[list[Child]], *, numbers: int = 0) -> Html:
    """A table that scrolls sideways by itself on a narrow screen.

    Args:
        head: Titles of the columns.
        rows: Cells, as many as titles.
        numbers: From which column on the cells are numbers; 0 for none.
    """

    def cells(kind: str, row: list[Child]) -> Html:
        return join(
            *(
                element(kind, cell, class_="number" if numbers and index >= numbers else None)
                for index, cell in enumerate(row)
            )
        )

    body = join(*(element("tr", cells("td", row)) for row in rows))
    return element(
        "div",
        element(
            "table",
            element("thead", element("tr", cells("th", head))),
            element("tbody", body),
        ),
        class_="scroll",
    )


def paragraph(*children: Child, class_: str | None = None) -> Html:
    return element("p", *children, class_=class_)


def _attribute_name(key: str) -> str:
    return key.removesuffix("_").replace("_", "-")


def _escaped(child: Child) -> str:
    if child is None:
        return ""
    return child if isinstance(child, Html) else html.escape(str(child), quote=True)

"""HTML out of the files in `templates` and `static`; whatever is put into a template is escaped."""

from __future__ import annotations

import html
import re
from functools import cache
from importlib import resources

from jinja2 import Environment, PackageLoader, StrictUndefined, Template
from jinja2.ext import Extension


class Html(str):
    """A string that is HTML already; templates insert it as it is."""

    __slots__ = ()

    def __html__(self) -> Html:
        return self


def escape(text: str) -> Html:
    """Text as HTML that shows just this text; line breaks stay.

    >>> escape("<b> & \\n")
    '&lt;b&gt; &amp; <br>'
    """
    sendable = text.encode("utf-8", "replace").decode()  # half a surrogate pair can't be sent
    return Html(html.escape(sendable).replace("\n", "<br>"))


def verbatim(html: str) -> Html:
    """HTML in which a notebook's page looks for no formulas: `$5 and $6` stays as it was written.

    The first class is that of MathJax 3 and 4, as in JupyterLab 4, the second that of MathJax 2.
    """
    return Html(f'<div class="mathjax_ignore tex2jax_ignore">{html}</div>')


def render(template: str, **values: object) -> Html:
    """The template of this name, without its suffix, filled with `values`."""
    return Html(_template(template).render(values))


def static(name: str) -> Html:
    """The text of a style sheet or script."""
    return Html((resources.files(__package__) / "static" / name).read_text("utf-8"))


def style(*names: str) -> Html:
    """Style sheets as one <style> element, by their names without suffix."""
    return Html(f"<style>{''.join(static(f'{name}.css') for name in names)}</style>")


@cache
def _template(name: str) -> Template:
    return _environment.get_template(f"{name}.html")


class _Layout(Extension):
    """Line breaks and indentation of a template are for its reader and not for the page.

    A line break between two words becomes a space; beside a tag or a brace it becomes nothing.
    """

    def preprocess(self, source: str, name: str | None, filename: str | None = None) -> str:
        joined = re.sub(r"(?<=[>}])\s*\n\s*|\s*\n\s*(?=[<{]|$)", "", source.strip())
        return re.sub(r"\s*\n\s*", " ", joined)


def _text(value: object) -> object:
    """What a template prints: strings that are no HTML yet are escaped."""
    return escape(value) if type(value) is str else value


_environment = Environment(
    loader=PackageLoader(__package__),
    autoescape=True,
    auto_reload=False,
    finalize=_text,
    undefined=StrictUndefined,
    extensions=[_Layout],
)

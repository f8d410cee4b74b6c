"""The plot of RESULTS.md: a bar for each server. The same figures give the same bytes."""

from typing import Any
from xml.etree import ElementTree

import pygal
from pygal.style import Style

OURS = "#2f6fdb"
OTHERS = "#8a939e"
# It has a background of its own, so it can be read on any page.
CSS = """inline:#chart-plot .text-overlay .value { text-anchor: start }
@media (prefers-color-scheme: dark) {
    #chart-plot .background { fill: #161b22 !important }
    #chart-plot text { fill: #e6edf3 !important }
}"""
STYLE = Style(
    background="#ffffff",
    plot_background="#ffffff",
    font_family="system-ui, sans-serif",
    label_font_size=13,
    major_label_font_size=13,
    value_font_size=13,
    opacity="1",
)


def requests_a_second(title: str, rates: dict[str, float]) -> str:
    """Return an SVG with the rate of each server, the first one on top; ours are in blue."""
    chart = pygal.HorizontalBar(
        title=title,
        width=760,
        height=60 + 32 * len(rates),
        margin_right=60,  # for the number beside the longest bar
        style=STYLE,
        css=["file://style.css", "file://graph.css", CSS],
        js=[],
        show_legend=False,
        show_x_labels=False,
        print_values=True,
        print_values_position="top",
        truncate_label=-1,
        value_formatter=lambda rate: f" {rate:,.0f}",
    )
    chart.uuid = "plot"  # else a random one
    chart.x_labels = reversed(rates)
    bars = [
        {"value": rate, "color": OURS if name.startswith("this service") else OTHERS}
        for name, rate in reversed(rates.items())
    ]
    chart.add(None, bars)
    chart.add_xml_filter(without_extras)
    return f"{chart.render(is_unicode=True)}\n"


def without_extras(root: Any) -> Any:
    """Remove the script, and the comments: one of them has the date."""
    for parent in list(root.iter()):
        for child in list(parent):
            if child.tag in (ElementTree.Comment, "script"):
                parent.remove(child)
    return root

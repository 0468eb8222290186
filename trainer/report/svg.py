"""Small pieces of SVG: a plot with axes, and marks in it. Colours come from the page's style sheet, by class."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from markupsafe import Markup

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    Point = tuple[float, float]

_TICK_PX = 4
_HAIR = 1e-6  # what 0.3 / 0.1 is off


def element(tag: str, text: str | Markup = "", **attributes: object) -> Markup:
    """One element, everything escaped; ``class_`` and ``stroke_width`` become ``class`` and ``stroke-width``."""
    pairs = Markup("").join(
        Markup(' {}="{}"').format(key.rstrip("_").replace("_", "-"), _number(value))
        for key, value in attributes.items()
    )
    return Markup("<{0}{1}>{2}</{0}>").format(tag, pairs, text)


def _number(value: object) -> object:
    return f"{value:.2f}".rstrip("0").rstrip(".") if isinstance(value, float) else value


def picture(width: float, height: float, parts: Iterable[Markup], *, title: str, description: str) -> Markup:
    """A whole drawing that scales to its box; ``description`` says in words what it shows."""
    content = Markup("").join([element("title", title), element("desc", description), *parts])
    return element(
        "svg",
        content,
        viewBox=f"0 0 {width:g} {height:g}",
        width=width,
        height=height,
        role="img",
        aria_label=f"{title}: {description}",
    )


@dataclass(slots=True)
class Plot:
    """A rectangle with two axes, in which marks are placed by their values.

    Attributes:
        x, y: ``(first, last)`` value of each axis.
        width, height: of the whole drawing in its own units.
        left, right, top, bottom: margins around the rectangle.
        parts: what has been drawn so far.
    """

    x: tuple[float, float]
    y: tuple[float, float]
    width: float = 420
    height: float = 300
    left: float = 46
    right: float = 14
    top: float = 14
    bottom: float = 42
    parts: list[Markup] = field(default_factory=list)

    def at(self, x: float, y: float) -> Point:
        """Where a pair of values lies in the drawing."""
        across = (x - self.x[0]) / ((self.x[1] - self.x[0]) or 1)
        up = (y - self.y[0]) / ((self.y[1] - self.y[0]) or 1)
        return (
            self.left + across * (self.width - self.left - self.right),
            self.height - self.bottom - up * (self.height - self.top - self.bottom),
        )

    def axes(
        self,
        x_ticks: Sequence[float],
        y_ticks: Sequence[float],
        *,
        x_title: str = "",
        y_title: str = "",
        label: Callable[[float], str] = "{:g}".format,
        y_label: Callable[[float], str] | None = None,
    ) -> None:
        """Grid lines with their values, and what each axis measures."""
        for tick in y_ticks:
            (x1, y1), (x2, _) = self.at(self.x[0], tick), self.at(self.x[1], tick)
            self.parts.append(element("line", x1=x1, y1=y1, x2=x2, y2=y1, class_="grid"))
            self.text((x1 - 6, y1 + 4), (y_label or label)(tick), anchor="end")
        base = self.height - self.bottom
        for tick in x_ticks:
            across, _ = self.at(tick, self.y[0])
            self.parts.append(element("line", x1=across, y1=base, x2=across, y2=base + _TICK_PX, class_="axis"))
            self.text((across, base + 17), label(tick), anchor="middle")
        self.parts.append(element("line", x1=self.left, y1=base, x2=self.width - self.right, y2=base, class_="axis"))
        if x_title:
            self.text(((self.left + self.width - self.right) / 2, self.height - 6), x_title, anchor="middle")
        if y_title:
            self.text((self.left - 40, self.top - 8), y_title)

    def text(self, at: Point, words: str, *, anchor: str = "start", class_: str = "label") -> None:
        """Words at a place of the drawing."""
        self.parts.append(element("text", words, x=at[0], y=at[1], text_anchor=anchor, class_=class_))

    def line(self, points: Sequence[Point], class_: str) -> None:
        """Connect values."""
        places = " ".join(f"{x:.1f},{y:.1f}" for x, y in (self.at(*point) for point in points))
        self.parts.append(element("polyline", points=places, class_=f"line {class_}"))

    def dots(self, points: Iterable[Point], class_: str, *, titles: Sequence[str] = (), radius: float = 4) -> None:
        """A dot for each pair of values; a title shows when it is pointed at."""
        for number, point in enumerate(points):
            x, y = self.at(*point)
            title = element("title", titles[number]) if titles else Markup("")
            self.parts.append(element("circle", title, cx=x, cy=y, r=radius, class_=f"dot {class_}"))

    def box(self, x: tuple[float, float], y: tuple[float, float], class_: str, *, title: str = "") -> None:
        """A bar or cell between values; never thinner than one can see."""
        (x1, y1), (x2, y2) = self.at(x[0], y[0]), self.at(x[1], y[1])
        height = max(abs(y1 - y2), 1.5)
        self.parts.append(
            element(
                "rect",
                element("title", title) if title else Markup(""),
                x=min(x1, x2),
                y=max(y1, y2) - height if y[1] >= y[0] else min(y1, y2),
                width=max(abs(x2 - x1), 0.5),
                height=height,
                class_=class_,
            )
        )

    def svg(self, *, title: str, description: str) -> Markup:
        """The finished drawing."""
        return picture(self.width, self.height, self.parts, title=title, description=description)


def nice_ticks(low: float, high: float, *, about: int = 5) -> list[float]:
    """Round values that cover ``low`` to ``high``: steps of 1, 2 or 5 times a power of ten."""
    span = (high - low) or 1.0
    power = 10.0 ** math.floor(math.log10(span / about))
    step = next(power * factor for factor in (1, 2, 5, 10) if span / (power * factor) <= about)
    first, last = math.floor(low / step + _HAIR), math.ceil(high / step - _HAIR)
    return [round(number * step, 10) for number in range(first, max(last, first + 1) + 1)]

"""How an image gets into the first buffer, as functions of C."""

from __future__ import annotations

from dataclasses import dataclass
from string import Template

_FUNCTION = Template("""\
static void set_$name(struct workspace *w, const $input *$name)
{
    for (int k = 0; k < $channels; k++) {
        for (int y = 0; y < $total; y++) {
            for (int x = 0; x < $total; x++) {
$value
                w->first.image[k][y][x] = value;
            }
        }
    }
}
""")


@dataclass(frozen=True)
class Input:
    """An image that the network takes.

    Parameters
    ----------
    name
        The name of the argument in C.
    about
        What its elements are.
    ctype, buffer
        The types of its elements, and of those of the buffer.
    channels, side
        Its sizes.
    borders
        Frames around the image, from the outside: their width and the value in them.
    value
        The value in the buffer for an element `{}`.
    """

    name: str
    about: str
    ctype: str
    buffer: str
    channels: int
    side: int
    borders: tuple[tuple[int, str], ...]
    value: str

    @property
    def parameter(self) -> str:
        """Return the declaration of the argument, with its size."""
        return f"const {self.ctype} {self.name}[{self.channels} * {self.side} * {self.side}]"

    @property
    def function(self) -> str:
        """Return the function of C."""
        borders = [(width, value) for width, value in self.borders if width]
        total = self.side + 2 * sum(width for width, _ in borders)
        return _FUNCTION.substitute(
            name=self.name,
            input=self.ctype,
            channels=self.channels,
            total=total,
            value="\n".join(" " * 16 + line for line in self._lines(borders, total)),
        )

    def _lines(self, borders: list[tuple[int, str]], total: int) -> list[str]:
        """Return the lines that compute the value at row y and column x of channel k."""
        start = sum(width for width, _ in borders)
        row, column = (f"{axis} - {start}" if start else axis for axis in "yx")
        element = self.value.format(f"{self.name}[(k * {self.side} + {row}) * {self.side} + {column}]")
        if not borders:
            return [f"const {self.buffer} value = {element};"]
        lines, width = [f"{self.buffer} value = {borders[0][1]};"], 0
        for position, (frame, _) in enumerate(borders, 1):
            width += frame
            inside = " && ".join(f"{axis} >= {width} && {axis} < {total - width}" for axis in "yx")
            value = borders[position][1] if position < len(borders) else element
            lines += [f"if ({inside}) {{", f"    value = {value};", "}"]
        return lines


def about_pixels(channels: int, side: int) -> str:
    """Describe the pixels of an image."""
    return f"The pixels are {channels} x {side} x {side}, row by row, from 0 (black) to 255 (white), as in training."

"""The layers as functions of C, in numbers of any type.

A convolution computes one unit, so that the pooling after it needs no buffer for the whole maps.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from string import Template

import numpy as np
import numpy.typing as npt

from .buffers import Buffer
from .text import Constants, comment, ctype

WINDOWS = {
    "max": "maximum",
    "avg": "mean",
    "sum": "sum, times a coefficient, plus a bias,",
    "subsampling": "sum, times a coefficient, plus a bias,",
}
"""What is computed of a window, by the kind of pooling."""

_UNIT = Template("""\
$comment
static $type $name(const struct workspace *w, int m, int y, int x)
{
    $accumulator sum = ${name}_bias[m];
$loops
    return $result;
}
""")
_DENSE_KERNELS = Template("""\
    for (int k = 0; k < $channels; k++) {
        for (int i = 0; i < $kernel; i++) {
            for (int j = 0; j < $kernel; j++) {
                sum += ${name}_weight[m][k][i][j] * $element;
            }
        }
    }""")
_TABLE_KERNELS = Template("""\
    for (int c = m == 0 ? 0 : ${name}_end[m - 1]; c < ${name}_end[m]; c++) {
        const int k = ${name}_input[c];
        for (int i = 0; i < $kernel; i++) {
            for (int j = 0; j < $kernel; j++) {
                sum += ${name}_weight[c][i][j] * $element;
            }
        }
    }""")
_POOLING = Template("""\
$comment
static void $name(struct workspace *w)
{
    for (int m = 0; m < $maps; m++) {
        for (int y = 0; y < $height; y++) {
            for (int x = 0; x < $width; x++) {
$window
                w->$target[m][y][x] = $result;
            }
        }
    }
}
""")
_LARGEST = Template("""\
                $unit_type largest = $unit(w, m, 2 * y, 2 * x);
                for (int i = 1; i < 4; i++) {
                    const $unit_type value = $unit(w, m, 2 * y + i / 2, 2 * x + i % 2);
                    largest = value > largest ? value : largest;
                }""")
_SUM = Template("""\
                $accumulator sum = 0;
                for (int i = 0; i < 4; i++) {
                    sum += $unit(w, m, 2 * y + i / 2, 2 * x + i % 2);
                }""")
_UNITS = Template("""\
$comment
static void $name(struct workspace *w)
{
    for (int n = 0; n < $units; n++) {
        $accumulator sum = $start;
$loops
        w->$target[n] = $result;
    }
}
""")
_WEIGHTED = Template("""
                sum = ${name}_weight[m] * sum + ${name}_bias[m];""")
_FEATURES = Template("""\
        for (int k = 0; k < $channels; k++) {
            sum += ${name}_weight[n][k] * w->$source[k];
        }""")
_MAPS = Template("""\
        for (int k = 0; k < $channels; k++) {
            for (int i = 0; i < $height; i++) {
                for (int j = 0; j < $width; j++) {
                    sum += ${name}_weight[n][k][i][j] * w->$source[k][i][j];
                }
            }
        }""")
_DISTANCES = Template("""\
        for (int k = 0; k < $channels; k++) {
            const $accumulator difference = w->$source[k] - ${name}_prototype[n][k];
            sum += difference * difference;
        }""")


@dataclass(frozen=True)
class Function:
    """A layer as a function of C.

    Parameters
    ----------
    name
        Name of the layer, and of the function.
    about
        What it computes.
    type, accumulator
        The types of its outputs and of its sums.
    source, target
        The buffers that it reads and writes.
    """

    name: str
    about: str
    type: str
    accumulator: str
    source: Buffer
    target: Buffer

    def convolution(self, *, kernel: int, connected: bool, zero: str, result: str) -> str:
        """Return the function that computes one unit of a convolution.

        Parameters
        ----------
        kernel
            Side of the kernels.
        connected
            Whether each map is connected to some of the input maps only.
        zero
            What is subtracted from each input of map k, such as " - zero_point[k]", or "".
        result
            The output, computed from `sum`.
        """
        element = f"w->{self.source.member}[k][y + i][x + j]"
        template = _TABLE_KERNELS if connected else _DENSE_KERNELS
        loops = self._filled(template, kernel=kernel, element=f"({element}{zero})" if zero else element)
        about = comment(f"{self.name.upper()} at row y and column x of map m: {self.about}.")
        return self._filled(_UNIT, comment=about, loops=loops, result=result)

    def pooling(self, *, kind: str, unit: str, unit_type: str, result: str) -> str:
        """Return the function that pools windows of units.

        Parameters
        ----------
        kind
            One of `WINDOWS`.
        unit, unit_type
            The function that computes a unit, and its type.
        result
            The output, computed from `largest` if the kind is "max", else from `sum`.
        """
        maps, height, width = self.target.shape
        window = self._filled(_LARGEST if kind == "max" else _SUM, unit=unit, unit_type=unit_type)
        window += self._filled(_WEIGHTED) if kind in {"sum", "subsampling"} else ""
        return self._filled(_POOLING, window=window, maps=maps, height=height, width=width, result=result)

    def dense(self, *, result: str) -> str:
        """Return the function of a dense layer; the output is computed from `sum`."""
        loops = self._filled(_FEATURES if len(self.source.shape) == 1 else _MAPS)
        return self._units(start=f"{self.name}_bias[n]", loops=loops, result=result)

    def distances(self) -> str:
        """Return the function that computes the negated squared distances to prototypes."""
        return self._units(start="0", loops=self._filled(_DISTANCES), result="-sum")

    def _units(self, *, start: str, loops: str, result: str) -> str:
        return self._filled(_UNITS, units=self.target.shape[0], start=start, loops=loops, result=result)

    def _filled(self, template: Template, **values: object) -> str:
        sizes = dict(zip(("channels", "height", "width"), self.source.shape, strict=False))
        about = comment(f"{self.name.upper()}: {self.about}.")
        own = {"name": self.name, "comment": about, "type": self.type}
        buffers = {"accumulator": self.accumulator, "source": self.source.member, "target": self.target.member}
        return template.substitute({**sizes, **own, **buffers, **values})


def check_pooling(layers: Sequence[tuple[str, str]]) -> None:
    """Check that pooling follows each convolution.

    Parameters
    ----------
    layers
        Their names and kinds, in order.

    Raises
    ------
    ValueError
        It does not.
    """
    for (name, kind), (_, after) in itertools.pairwise([*layers, ("", "")]):
        if (kind == "convolution") != (after in WINDOWS):
            raise ValueError(f"{name} is no convolution with pooling after it; expected both, as in LeNet-5")


def connections(name: str, table: Sequence[Sequence[int]]) -> list[Constants]:
    """Return the connections of partially connected maps: their inputs, and where those of each map end."""
    inputs = np.array([source for row in table for source in row])
    ends = np.cumsum([len(row) for row in table])
    about = f"{name.upper()}: the input map of each connection, map by map, and where the connections of each map end"
    return [_counts(f"{name}_input", inputs, about), _counts(f"{name}_end", ends)]


def _counts(name: str, values: npt.NDArray[np.int64], about: str = "") -> Constants:
    array = values.astype(np.uint8 if values.max() < 256 else np.uint16)
    return Constants(name, ctype(array.dtype), array, about)

"""Find where in a picture a digit is, and whether it is dark or light: a coarse look at the whole."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt
import PIL.Image
from scipy import ndimage

from .ruling import without_lines

Grey: TypeAlias = npt.NDArray[np.float32]
Mask: TypeAlias = npt.NDArray[np.bool_]
Box: TypeAlias = tuple[slice, ...]

TOUCHING = np.ones((3, 3), bool)  # pixels that touch at a corner belong together
_LOOK = (160, 400)  # pixels of the picture's longer side, from small drawings to photographs
_DRAWING = 160  # a picture of fewer pixels is no photograph, and evenly lit
_FAINTEST = 12.0  # of 255; what differs less from its surroundings is no ink
_SMALLEST = 0.05  # of the picture's longer side
_LEAST_FIT = 0.03, 0.15  # of what is found in even light, and in uneven light or at the edge of a photograph


class Found(NamedTuple):
    """Pieces of a picture that may be a digit."""

    mask: Mask  # in the coarse look
    sign: int  # 1 for light ink on dark, -1 for dark ink on light
    score: float
    fit: float  # from 0 to 1: whether it has the form of strokes on a ground
    num_others: int  # pieces elsewhere that are as much like a digit


class Piece(NamedTuple):
    """Connected ink, and how much it is like a digit."""

    number: int
    box: Box
    area: int
    score: float
    fit: float
    touches: bool  # the picture's edge


def locate(picture: PIL.Image.Image) -> Found:
    """Return the most plausible digit of a picture of mode "F".

    Ink is told from the ground in two ways, for dark and for light ink: by one threshold for the whole picture, as it
    suits a drawing or a scan, and by the difference to the surroundings, as it suits a photograph. The answer that
    looks most like one digit is taken: strokes of good contrast and of some length, not a blob, not along the edge.

    Raises
    ------
    ValueError
        There is no digit, or there are several.
    """
    zoom = float(np.clip(max(picture.size), *_LOOK)) / max(picture.size)
    look = ndimage.gaussian_filter(resized(picture, (0, 0, *picture.size), zoom), 0.7)
    photograph = max(picture.size) >= _DRAWING
    answers = list(_evenly_lit(look, photograph=photograph))
    if photograph and not any(map(_fills, answers)):
        answers += _unevenly_lit(look, max((answer.fit for answer in answers), default=0.0))
    best = max(answers, key=lambda answer: answer.score, default=None)
    if best is None or best.fit < _LEAST_FIT[0]:
        raise ValueError("no digit was found; expected one, dark on light or light on dark")
    if best.num_others:
        raise ValueError(f"{best.num_others + 1} digits were found; expected one")
    return best


# What is ink


def _evenly_lit(look: Grey, *, photograph: bool) -> Iterator[Found]:
    """Yield a digit of each sign with the middle of the lighter, or of the darker, pixels as the ground."""
    if np.ptp(look) < _FAINTEST:
        return
    light = look > otsu(look)
    share = light.mean()
    apart = share * (1 - share) * (look[light].mean() - look[~light].mean()) ** 2 / look.var()  # Otsu's eta, 0 to 1
    noise = _middle(look - ndimage.gaussian_filter(look, 2))
    if photograph and apart < 0.8:
        return  # there are more than two levels, shadows among them
    for sign, side in ((-1, light), (1, ~light)):
        found = _digit(sign * (look - np.median(look[side])), noise, sign, low=0.8)
        if found is None:
            continue
        from_edge = photograph and _touches_edge(found.mask)  # as a shadow comes
        if found.fit >= _LEAST_FIT[1 if from_edge else 0]:
            yield found


def _unevenly_lit(look: Grey, fit_of_even: float) -> Iterator[Found]:
    """Yield a digit of each sign with the median of the surroundings as the ground.

    What lies between the grounds of two neighbouring places is no ink, but the edge of the paper or of a shadow.
    """
    small = scaled(look, 64 / max(look.shape))
    ground = ndimage.median_filter(small, 21, mode="nearest")  # a third of the picture
    low, high = (reshaped(one(ground, 3), look.shape) for one in (ndimage.minimum_filter, ndimage.maximum_filter))
    difference = look - np.clip(look, low, high)
    for sign in (-1, 1):
        found = _digit(sign * difference, _middle(difference), sign, low=0.5)
        if found is None or found.fit < _LEAST_FIT[1]:
            continue
        if not _touches_edge(found.mask) or _extent(found.mask) > 0.5:  # if not, it is of a shadow or of the table
            yield found._replace(score=found.score * max(0.05, 1 - 1.3 * fit_of_even))


def _middle(noise: Grey) -> float:
    """Return the standard deviation of noise among which there is other matter, by the median."""
    return 1.4826 * float(np.median(np.abs(noise)))


def _digit(excess: Grey, noise: float, sign: int, *, low: float) -> Found | None:
    """Return the digit in what exceeds the ground, if it may be, without ruled lines."""
    found = _best(excess, _ink(excess, noise, low), sign)
    if min(excess.shape) < 100:
        return found
    marked = excess > max(3.0, 1.5 * noise)
    if (lineless := without_lines(excess, marked)) is None:
        return found
    better = _best(lineless, _ink(lineless, noise, low), sign)
    was_digit = found is not None and found.fit > 0.5 and not _touches_edge(found.mask)
    if found is not None and was_digit and (better is None or better.score < 0.3 * found.score):
        return found  # the line was an upright 1
    return better


def _extent(mask: Mask) -> float:
    """Return the longer side of what is marked, as a share of the picture's."""
    spans = [np.flatnonzero(mask.any(axis)) for axis in (0, 1)]
    return float(max(np.ptp(span) + 1 for span in spans) / max(mask.shape))


def _fills(found: Found) -> bool:
    """Whether it is a digit that fills a picture which was cut to its size."""
    return _extent(found.mask) > 0.9 and found.mask.mean() > 0.15 and found.fit >= _LEAST_FIT[1]


def _touches_edge(mask: Mask) -> bool:
    return bool(mask[0].any() or mask[-1].any() or mask[:, 0].any() or mask[:, -1].any())


def _ink(excess: Grey, noise: float, low: float) -> Mask:
    """Return what stands out of the noise, by hysteresis (Canny, IEEE Trans. PAMI 8(6), 1986)."""
    least = max(_FAINTEST, 4 * noise)
    standing = excess[excess > least]
    high = otsu(standing) if standing.size else np.inf
    likely = excess > max(least, low * high)
    return np.asarray(ndimage.binary_propagation(excess > high, structure=TOUCHING, mask=likely))


# What is a digit


def _best(excess: Grey, ink: Mask, sign: int) -> Found | None:
    """Return the piece that is most like a digit, with what belongs to it, and count its rivals."""
    labels, _ = ndimage.label(ink, TOUCHING)
    boxes, areas = ndimage.find_objects(labels), np.bincount(labels.ravel())[1:]
    border = np.concatenate([ink[0], ink[-1], ink[:, 0], ink[:, -1]]).mean()
    ground = float(np.clip(3 - 5 * border, 0.02, 1))  # most of the picture's edge shows the ground
    large = [i for i in np.argsort(areas)[::-1][:30] if _side(boxes[i]) >= _SMALLEST * max(ink.shape)]
    pieces = {i: _piece(int(i), boxes[i], labels[boxes[i]] == i + 1, excess, ground) for i in large}
    if not pieces:
        return None
    main = max(pieces.values(), key=lambda piece: piece.score)
    members, num_others = [main.number], 0
    for index in np.flatnonzero(areas >= 0.02 * main.area):
        piece = pieces.get(index)
        if index == main.number or (piece and piece.touches and not main.touches):
            continue
        near = _gap(main.box, boxes[index]) <= 0.2 * _side(main.box)
        if piece and not piece.touches and _is_rival(piece, main, near=near):
            num_others += 1
        elif near:
            members.append(int(index))
    return Found(np.isin(labels, np.array(members) + 1), sign, main.score, main.fit, num_others)


def _piece(number: int, box: Box, mask: Mask, excess: Grey, ground: float) -> Piece:
    """Measure connected ink."""
    area, long = int(mask.sum()), max(mask.shape)
    inside = ndimage.distance_transform_edt(np.pad(mask, 1))
    length = area / (4 * inside[inside > 0].mean())  # the mean distance to the edge of a bar is a quarter of its width
    blob = np.clip((0.3 - inside.max() / long) / 0.1, 0.02, 1)
    solid = area / mask.size * min(1, 1.6 * min(mask.shape) / long)  # a sheet of paper, not an upright 1
    blob *= np.clip((0.75 - solid) / 0.15, 0.02, 1)
    plain = np.clip((6 - length / long) / 1.5, 0.1, 1)  # a digit's strokes are 1 to 5 times as long as its box
    contact = _contact(box, mask, excess.shape)
    shadow = contact > 1.2 * long and inside.max() > 0.2 * long  # broad, and along the edge
    fit = float(blob * plain * ground) * (0.02 if shadow else max(0.1, 1 - contact / long))
    off = np.hypot(*((part.start + part.stop) / side - 1 for part, side in zip(box, excess.shape, strict=True)))
    contrast = min(float(excess[box][mask].mean()), 60.0)  # more is no better
    score = contrast * length * fit * (0.5 if contact else 1) * (1 - 0.35 * float(off))
    return Piece(number, box, area, score, fit, contact > 0)


def _is_rival(piece: Piece, main: Piece, *, near: bool) -> bool:
    """Tell whether a piece is a digit of its own: as good as the main one elsewhere, or as tall beside it."""
    if not near:
        return piece.score > 0.35 * main.score and _side(piece.box) > 0.4 * _side(main.box)
    (rows, columns), (main_rows, main_columns) = piece.box, main.box
    height = max(rows.stop, main_rows.stop) - min(rows.start, main_rows.start)
    beside = columns.start >= main_columns.stop or main_columns.start >= columns.stop
    return bool(beside and min(rows.stop - rows.start, main_rows.stop - main_rows.start) > 0.75 * height)


def _contact(box: Box, mask: Mask, shape: tuple[int, ...]) -> int:
    """Count the pixels of a piece at the picture's edge."""
    (rows, columns), (height, width) = box, shape
    ends = mask[0].sum() * (rows.start == 0) + mask[-1].sum() * (rows.stop == height)
    return int(ends + mask[:, 0].sum() * (columns.start == 0) + mask[:, -1].sum() * (columns.stop == width))


def _side(box: Box) -> int:
    return max(int(part.stop - part.start) for part in box)


def _gap(one: Box, other: Box) -> float:
    """Return the distance between two boxes."""
    return float(np.hypot(*(max(0, b.start - a.stop, a.start - b.stop) for a, b in zip(one, other, strict=True))))


# Arithmetic


def otsu(values: Grey) -> float:
    """Return the threshold that separates two classes best (Otsu, IEEE Trans. SMC 9(1), 1979)."""
    if np.ptp(values) < 1e-3:
        return float(values.flat[0])
    counts, edges = np.histogram(values, 128)
    sums = np.cumsum(counts * (edges[1:] + edges[:-1]) / 2)
    below = np.cumsum(counts)[:-1]  # never 0, and never all: the outermost bins hold the extremes
    above = counts.sum() - below
    between = below * above * (sums[:-1] / below - (sums[-1] - sums[:-1]) / above) ** 2
    best = np.flatnonzero(between >= between.max() * (1 - 1e-9))  # where a gap is, its middle
    return float(edges[1:][best].mean())


def resized(picture: PIL.Image.Image, region: tuple[float, float, float, float], zoom: float) -> Grey:
    """Resize a region (left, top, right, bottom) of a picture of mode "F", with antialiasing."""
    left, top, right, bottom = region
    size = max(1, round((right - left) * zoom)), max(1, round((bottom - top) * zoom))
    return np.asarray(picture.resize(size, PIL.Image.Resampling.BICUBIC, box=region, reducing_gap=3))


def scaled(grey: Grey, zoom: float) -> Grey:
    """Resize an array by a factor."""
    height, width = grey.shape
    return resized(PIL.Image.fromarray(grey), (0, 0, width, height), zoom)


def reshaped(grey: Grey, shape: tuple[int, ...]) -> Grey:
    """Resize an array to a shape (H, W), bilinearly."""
    return np.asarray(PIL.Image.fromarray(grey).resize((shape[1], shape[0]), PIL.Image.Resampling.BILINEAR))

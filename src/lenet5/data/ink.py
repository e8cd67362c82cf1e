"""Find the ink of one digit in a grey picture: where it is, of which polarity, and what its strokes cover."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt
import PIL.Image
from scipy import ndimage

Grey: TypeAlias = npt.NDArray[np.float32]
Mask: TypeAlias = npt.NDArray[np.bool_]

CLOSE = 160  # pixels of the digit's longer side in the close look; 8 for each of MNIST's
_COARSE = (160, 400)  # pixels of the picture's longer side in the first look
_FAINTEST = 12.0  # of 255; what differs less from its surroundings is no ink
_EIGHT = np.ones((3, 3), bool)  # pixels that touch at a corner belong together


class Candidate(NamedTuple):
    """Pieces that may be a digit, in the first look."""

    mask: Mask
    sign: int  # 1 for light ink on dark, -1 for dark ink on light
    score: float
    num_others: int  # pieces elsewhere that look as much like a digit
    fit: float


def strokes(picture: PIL.Image.Image) -> Mask:
    """Return what the strokes of the one digit in a picture cover.

    Parameters
    ----------
    picture
        Of mode "F", with 0 for black and 255 for white.

    Returns
    -------
    ndarray
        (H, W) bool; the digit's longer side has about `CLOSE` pixels.

    Raises
    ------
    ValueError
        There is no digit, or there are several.
    """
    look = _resized(picture, (0, 0, *picture.size), np.clip(max(picture.size), *_COARSE) / max(picture.size))
    found = max(_candidates(look, small=max(picture.size) < 64), key=lambda candidate: candidate.score, default=None)
    if found is None:
        raise ValueError("no digit was found")
    if found.num_others:
        raise ValueError(f"{found.num_others + 1} digits were found")
    return _close_look(picture, found)


# The first look, at the whole picture


def _candidates(look: Grey, *, small: bool) -> Iterator[Candidate]:
    """Yield the most plausible pieces for each way to tell ink from ground."""
    look = ndimage.gaussian_filter(look, 0.7)
    threshold = otsu(look)
    high = look > threshold
    split = high.mean() * (1-high.mean()) * (look[high].mean() - look[~high].mean())**2 / look.var() if 0 < high.mean() < 1 else 0
    local = _local_ground(look)
    best = 0.0
    for even in (True,) if small else (True, False):
        for sign in (-1, 1):
            ground = _flat_ground(look, sign) if even else local
            prior = (1 if split > 0.8 else 0.25) if even else 1 - 0.6 * best
            excess = sign * (look - ground)
            noise = 1.4826 * float(np.median(np.abs(look - ndimage.gaussian_filter(look, 2) if even else excess)))
            ink = _over(excess, noise)
            if ink is None:
                continue
            candidate = _best_pieces(excess, ink, sign)
            lineless = _without_lines(excess, excess > max(3.0, 1.5 * noise))
            if lineless is not None and (ink := _over(lineless, noise)) is not None:
                candidate = _best_pieces(lineless, ink, sign) or candidate
            if candidate is not None:
                if even and split > 0.8:
                    best = max(best, candidate.fit)
                yield candidate._replace(score=candidate.score * prior)


def _flat_ground(look: Grey, sign: int) -> Grey:
    """Return the ground of a picture that is evenly lit: the middle of the lighter or of the darker pixels."""
    threshold = otsu(look)
    side = look[look > threshold] if sign < 0 else look[look <= threshold]
    return np.full_like(look, np.median(side) if side.size else threshold)


def _local_ground(look: Grey) -> Grey:
    """Return the median of a third of the picture around each pixel, which follows shadows and the paper's edge."""
    factor = max(look.shape) / 64
    small = _zoomed(look, 1 / factor)
    ground = ndimage.median_filter(small, 21, mode="nearest")
    low, high = (_fit(filtered(ground, 3), look.shape) for filtered in (ndimage.minimum_filter, ndimage.maximum_filter))
    return np.clip(look, low, high)


def _over(excess: Grey, noise: float) -> Mask | None:
    """Return what is ink by hysteresis (Canny 1986), or None if nothing stands out of the noise."""
    least = max(_FAINTEST, 4 * noise)
    standing = excess[excess > least]
    if not standing.size:
        return None
    high = otsu(standing)
    low = max(least, high / 2)
    return ndimage.binary_propagation(excess > high, structure=_EIGHT, mask=excess > low)


def _best_pieces(excess: Grey, ink: Mask, sign: int) -> Candidate | None:
    """Return the connected piece that is most like a digit, with the smaller ones that are near."""
    labels, _ = ndimage.label(ink, _EIGHT)
    boxes = ndimage.find_objects(labels)
    areas = np.bincount(labels.ravel())[1:]
    border = np.concatenate([ink[0], ink[-1], ink[:, 0], ink[:, -1]]).mean()
    pieces = []
    for index in np.argsort(areas)[::-1][:30]:
        box = boxes[index]
        mask = labels[box] == index + 1
        sides = mask.shape
        long = max(sides)
        if long < 0.05 * max(ink.shape):
            continue
        inside = ndimage.distance_transform_edt(np.pad(mask, 1))
        width = 4 * inside[inside > 0].mean()
        length = areas[index] / width
        blob = np.clip((0.3 - inside.max() / long) / 0.1, 0.02, 1)
        touches = any(part.start == 0 or part.stop == side for part, side in zip(box, ink.shape, strict=True))
        edge = np.zeros_like(ink); edge[box] = mask
        contact = edge[0].sum() + edge[-1].sum() + edge[:, 0].sum() + edge[:, -1].sum()
        contrast = float(excess[box][mask].mean())
        middle = [(part.start + part.stop) / side - 1 for part, side in zip(box, ink.shape, strict=True)]
        central = 1 - 0.35 * float(np.hypot(*middle))
        plain = np.clip((7 - length / long) / 2, 0.1, 1)
        solid = areas[index] / mask.size * min(1, 1.6 * min(sides) / long)
        blob *= np.clip((0.75 - solid) / 0.15, 0.02, 1)
        fit = blob * plain * np.clip(3 - 5 * border, 0.02, 1)
        score = min(contrast, 60) * length * central * plain * blob * np.clip(3 - 5 * border, 0.02, 1) * (0.6 * max(0.3, 1 - contact / long) if touches else 1)
        pieces.append((float(score), int(index), contrast, length, touches, fit))
    if not pieces:
        return None
    pieces.sort(reverse=True)
    score, main, contrast, length, touches, fit = pieces[0]
    if score <= 0:
        return None
    members = [main]
    others = 0
    main_box = boxes[main]
    size = max(part.stop - part.start for part in main_box)
    for index in range(len(areas)):
        if index == main or areas[index] < 0.02 * areas[main]:
            continue
        gap = _gap(main_box, boxes[index])
        other = next((p for p in pieces if p[1] == index), None)
        if other and not touches and other[4]:
            continue
        if gap <= 0.2 * size:
            members.append(index)
        elif other and other[0] > 0.35 * score and not other[4]:
            others += 1
    return Candidate(np.isin(labels, np.array(members) + 1), sign, score, others, fit)


def _gap(one: tuple[slice, ...], other: tuple[slice, ...]) -> float:
    """Return the distance between two boxes."""
    return float(np.hypot(*(max(0, b.start - a.stop, a.start - b.stop) for a, b in zip(one, other, strict=True))))


# Ruled lines


def _without_lines(excess: Grey, ink: Mask) -> Grey | None:
    """Take lines that go through the whole picture out of the excess, or return None if there are none."""
    found = False
    excess = excess.copy()
    for view, mask in ((excess, ink), (excess.T, ink.T)):
        for rows, half in _lines(mask):
            _erase(view, rows, half)
            found = True
    return excess if found else None


def _lines(ink: Mask) -> Iterator[tuple[npt.NDArray[np.int_], int]]:
    """Yield lines that are nearly horizontal: the row of each column, and half the thickness."""
    height, width = ink.shape
    if min(ink.shape) < 100 or ink.any(0).mean() < 0.7:
        return
    thick = ndimage.maximum_filter1d(ink.astype(np.uint8), 3, axis=0)
    columns = np.arange(width)
    some = columns[::2]
    slopes = np.linspace(-0.25, 0.25, 51)
    paths = np.rint(slopes[:, None] * (columns - width / 2)).astype(int)
    pad = int(np.abs(paths).max()) + 1
    thick = np.pad(thick, ((pad, pad), (0, 0)))
    rows = np.arange(height)
    cover = np.stack([thick[(rows + pad)[:, None] + path[some], some].mean(1) for path in paths])
    for _ in range(60):
        slope, row = np.unravel_index(cover.argmax(), cover.shape)
        if cover[slope, row] < 0.7:
            return
        top = bottom = row
        while top > 0 and cover[slope, top - 1] > 0.5:
            top -= 1
        while bottom < len(rows) - 1 and cover[slope, bottom + 1] > 0.5:
            bottom += 1
        half = (bottom - top) // 2 + 1
        if half <= 0.03 * max(height, width):
            yield rows[(top + bottom) // 2] + paths[slope], half
        cover[:, max(0, top - half - 2) : bottom + half + 3] = 0


def _erase(excess: Grey, rows: npt.NDArray[np.int_], half: int) -> None:
    """Take one line out: what is left is darker than the line, or has ink above and below it."""
    height, width = excess.shape
    columns = np.arange(width)
    above, below = (excess[(rows + shift).clip(0, height - 1), columns] for shift in (-half - 1, half + 1))
    crossing = np.minimum(above, below)
    for shift in range(-half, half + 1):
        at = rows + shift
        inside = (at >= 0) & (at < height)
        line = excess[at[inside], columns[inside]]
        if line.size:
            level = max(0.0, float(np.median(line)))
            excess[at[inside], columns[inside]] = np.maximum(line - 1.5 * level, crossing[inside])


# The close look, at the digit alone


def _close_look(picture: PIL.Image.Image, found: Candidate) -> Mask:
    """Segment the digit in the picture's own resolution, beside the ground that is around it."""
    scale = max(picture.size) / max(found.mask.shape)
    rows, columns = (np.flatnonzero(found.mask.any(axis)) * scale for axis in (1, 0))
    size = max(np.ptp(rows), np.ptp(columns)) + scale
    zoom = CLOSE / size
    margin = 0.35 * size
    region = (
        max(0.0, columns[0] - margin),
        max(0.0, rows[0] - margin),
        min(picture.width, columns[-1] + scale + margin),
        min(picture.height, rows[-1] + scale + margin),
    )
    close = ndimage.gaussian_filter(_resized(picture, region, zoom), 1.2)
    coarse = PIL.Image.fromarray(found.mask.astype(np.float32))
    seed = _fit_region(coarse, tuple(side / scale for side in region), close.shape) > 0.5
    near = ndimage.distance_transform_edt(~seed) <= 10 + 2 * ndimage.distance_transform_edt(seed)[seed].mean()
    ink = near
    excess = close
    for _ in range(2):
        ground = _ground_around(close, ndimage.binary_dilation(ink, iterations=4))
        excess = found.sign * (close - ground)
        if found.sign < 0:
            excess *= 128 / np.maximum(ground, 32)  # in a shadow the ink is as much darker in proportion
        ink = (excess > otsu(excess[near])) & near
    return _kept(ink)


def _ground_around(close: Grey, covered: Mask) -> Grey:
    """Fill in the ground under the ink from around it: a Gaussian mean of what is not covered."""
    weight = (~covered).astype(np.float32)
    mean = float(close[~covered].mean()) if not covered.all() else float(close.min())
    total = ndimage.gaussian_filter(weight, 20) + 1e-3
    return (ndimage.gaussian_filter((close - mean) * weight, 20) / total + mean).astype(np.float32)


def _kept(ink: Mask) -> Mask:
    """Drop specks."""
    labels, count = ndimage.label(ink, _EIGHT)
    if not count:
        raise ValueError("no digit was found")
    areas = np.bincount(labels.ravel())
    areas[0] = 0
    return (areas >= 0.03 * areas.max())[labels]


# Arithmetic


def otsu(values: npt.NDArray[np.floating]) -> float:
    """Return the threshold that separates two classes best (Otsu, IEEE Trans. SMC 9(1), 1979)."""
    if np.ptp(values) < 1e-3:
        return float(values.flat[0])
    counts, edges = np.histogram(values, 128)
    middles = (edges[1:] + edges[:-1]) / 2
    below = np.cumsum(counts)[:-1]
    above = below[-1] + counts[-1] - below
    sums = np.cumsum(counts * middles)
    with np.errstate(invalid="ignore", divide="ignore"):
        between = below * above * (sums[:-1] / below - (sums[-1] - sums[:-1]) / above) ** 2
    between = np.nan_to_num(between)
    best = np.flatnonzero(between >= between.max() * (1 - 1e-9))
    return float(edges[1:][best].mean())


def _resized(picture: PIL.Image.Image, region: tuple[float, ...], zoom: float) -> Grey:
    """Resize a region (left, top, right, bottom) with antialiasing."""
    left, top, right, bottom = region
    size = max(1, round((right - left) * zoom)), max(1, round((bottom - top) * zoom))
    return np.asarray(picture.resize(size, PIL.Image.Resampling.BICUBIC, box=(left, top, right, bottom), reducing_gap=3))


def _zoomed(grey: Grey, zoom: float) -> Grey:
    height, width = grey.shape
    return np.asarray(PIL.Image.fromarray(grey).resize((max(1, round(width * zoom)), max(1, round(height * zoom)))))


def _fit(grey: Grey, shape: tuple[int, ...]) -> Grey:
    return np.asarray(PIL.Image.fromarray(grey).resize((shape[1], shape[0]), PIL.Image.Resampling.BILINEAR))


def _fit_region(picture: PIL.Image.Image, region: tuple[float, ...], shape: tuple[int, ...]) -> Grey:
    box = (region[0], region[1], min(region[2], picture.width), min(region[3], picture.height))
    return np.asarray(picture.resize((shape[1], shape[0]), PIL.Image.Resampling.BILINEAR, box=box))

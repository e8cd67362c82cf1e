"use strict";

/* From the mask of a digit to an image in MNIST's format: the steps of lenet5/photo/normalisation.py.
 * A mask is {data: Uint8Array of 0 and 1, width, height}; a grey image has a Float32Array from 0 to 1. */
const Normalise = (() => {
  const IMAGE = 28; // side of the image in pixels
  const BOX = 20; // longer side of the digit in pixels
  const STROKE_WIDTH = [2.2, 4.0]; // in pixels of the box: the range of MNIST's training images
  const MOST_GROWTH = 48; // in pixels of the mask

  /* Return the smallest box that holds the values above a threshold, or null. */
  function boundingBox({data, width, height}, threshold = 0) {
    let [left, top, right, bottom] = [width, height, 0, 0];
    for (let y = 0; y < height; y++) {
      for (let x = 0; x < width; x++) {
        if (data[y * width + x] <= threshold) continue;
        left = Math.min(left, x);
        right = Math.max(right, x + 1);
        top = Math.min(top, y);
        bottom = Math.max(bottom, y + 1);
      }
    }
    return right ? {left, top, right, bottom} : null;
  }

  const longerSide = (box) => Math.max(box.right - box.left, box.bottom - box.top);

  /* Crop a mask to a box, with a margin of zeros. */
  function crop({data, width}, box, margin) {
    const columns = box.right - box.left, rows = box.bottom - box.top;
    const result = {width: columns + 2 * margin, height: rows + 2 * margin};
    result.data = new Uint8Array(result.width * result.height);
    for (let y = 0; y < rows; y++) {
      const start = (box.top + y) * width + box.left;
      result.data.set(data.subarray(start, start + columns), (y + margin) * result.width + margin);
    }
    return result;
  }

  /* Compute the distance of each pixel to the nearest one of a value, first along columns, then along rows, where the
   * parabolas over the columns have a lower envelope (Felzenszwalb and Huttenlocher, Theory of Computing 8, 2012). */
  function distanceTo(value, {data, width, height}) {
    const FAR = width + height, squares = new Float64Array(width * height);
    for (let x = 0; x < width; x++) {
      for (let y = 0, i = x, distance = FAR; y < height; y++, i += width) {
        distance = data[i] === value ? 0 : distance + 1;
        squares[i] = distance;
      }
      for (let y = height - 1, i = y * width + x, distance = FAR; y >= 0; y--, i -= width) {
        distance = Math.min(squares[i], distance + 1);
        squares[i] = distance * distance;
      }
    }
    const distances = new Float32Array(width * height);
    const line = new Float64Array(width), centres = new Int32Array(width), bounds = new Float64Array(width + 1);
    for (let start = 0; start < data.length; start += width) {
      let last = -1;
      for (let q = 0; q < width; q++) {
        line[q] = squares[start + q];
        let bound = -Infinity;
        for (; last >= 0; last--) {
          const p = centres[last];
          bound = (line[q] + q * q - line[p] - p * p) / (2 * (q - p));
          if (bound > bounds[last]) break;
        }
        centres[++last] = q;
        bounds[last] = last ? bound : -Infinity;
      }
      bounds[last + 1] = Infinity;
      for (let q = 0, k = 0; q < width; q++) {
        while (bounds[k + 1] < q) k++;
        const p = centres[k];
        distances[start + q] = Math.sqrt((q - p) * (q - p) + line[p]);
      }
    }
    return distances;
  }

  /* The mean stroke width in pixels: a bar's mean distance to its edge is a quarter of its width. */
  function strokeWidth(mask, box) {
    const close = crop(mask, box, 1), depth = distanceTo(0, close);
    let sum = 0, count = 0;
    for (let i = 0; i < depth.length; i++) {
      sum += depth[i];
      count += close.data[i];
    }
    return 4 * (sum / count) - 1;
  }

  /* Antialias the strokes, and change their width to the nearest one within MNIST's range. */
  function renderStrokes(mask) {
    const box = boundingBox(mask), side = longerSide(box), width = strokeWidth(mask, box);
    const [thin, thick] = STROKE_WIDTH.map((limit) => limit / BOX);
    const target = Math.min(Math.max(width / side, thin), thick); // relative to the box
    const growth = Math.min((target * side - width) / (2 * (1 - target)), MOST_GROWTH); // the box grows with the strokes
    const wide = crop(mask, box, Math.ceil(Math.max(0, growth)) + Math.ceil(side / BOX) + 3);
    const inside = distanceTo(0, wide), outside = distanceTo(1, wide);
    for (let i = 0; i < inside.length; i++) {
      inside[i] = Math.min(Math.max((wide.data[i] ? inside[i] : 1 - outside[i]) + growth, 0), 1);
    }
    return {data: inside, width: wide.width, height: wide.height};
  }

  /* The weights of each output pixel over the input, by Pillow's Hamming filter. */
  function hamming(start, stop, length, limit) {
    const scale = (stop - start) / length, support = Math.max(scale, 1);
    return Array.from({length}, (_, i) => {
      const centre = start + (i + 0.5) * scale;
      const first = Math.max(0, Math.trunc(centre - support + 0.5));
      const last = Math.min(limit, Math.trunc(centre + support + 0.5));
      const weights = [];
      for (let x = first; x < last; x++) {
        const t = Math.abs(x - centre + 0.5) / support, p = Math.PI * t;
        weights.push(t >= 1 ? 0 : t === 0 ? 1 : (Math.sin(p) / p) * (0.54 + 0.46 * Math.cos(p)));
      }
      const total = weights.reduce((sum, weight) => sum + weight, 0);
      return {first, weights: weights.map((weight) => weight / total)};
    });
  }

  /* Resample a region, first each row, then each column. */
  function resize({data, width, height}, region, columns, rows) {
    const across = hamming(region.left, region.right, columns, width);
    const down = hamming(region.top, region.bottom, rows, height);
    const narrow = new Float32Array(columns * height), result = new Float32Array(columns * rows);
    across.forEach(({first, weights}, x) => {
      for (let y = 0; y < height; y++) {
        let sum = 0;
        for (let i = 0; i < weights.length; i++) sum += weights[i] * data[y * width + first + i];
        narrow[y * columns + x] = sum;
      }
    });
    down.forEach(({first, weights}, y) => {
      for (let x = 0; x < columns; x++) {
        let sum = 0;
        for (let i = 0; i < weights.length; i++) sum += weights[i] * narrow[(first + i) * columns + x];
        result[y * columns + x] = sum;
      }
    });
    return {data: result, width: columns, height: rows};
  }

  /* Scale the digit to a longer side of 20 pixels, keeping its aspect ratio. */
  function fitBox(grey) {
    const box = boundingBox(grey, 0.5), scale = longerSide(box) / BOX;
    const span = (start, stop, limit) => {
      const length = Math.max(1, Math.ceil((stop - start) / scale - 0.01));
      const from = (start + stop - length * scale) / 2;
      return {length, from: Math.max(0, from), to: Math.min(from + length * scale, limit)};
    };
    const x = span(box.left, box.right, grey.width), y = span(box.top, box.bottom, grey.height);
    return resize(grey, {left: x.from, right: x.to, top: y.from, bottom: y.to}, x.length, y.length);
  }

  /* Round half to even, as Python and NumPy do. */
  function round(x) {
    const nearest = Math.round(x);
    return nearest - x === 0.5 && nearest % 2 ? nearest - 1 : nearest;
  }

  function centreOfMass({data, width}) {
    let [total, x, y] = [0, 0, 0];
    data.forEach((value, i) => {
      total += value;
      x += value * (i % width);
      y += value * Math.floor(i / width);
    });
    return {x: x / total, y: y / total};
  }

  /* Place the centre of mass at the centre, to the nearest pixel, and scale the lightest pixel to 255. */
  function centre(grey) {
    const mass = centreOfMass(grey);
    const left = round(IMAGE / 2 - mass.x), top = round(IMAGE / 2 - mass.y);
    const canvas = new Float32Array(IMAGE * IMAGE);
    grey.data.forEach((value, i) => {
      const x = left + (i % grey.width), y = top + Math.floor(i / grey.width);
      if (x >= 0 && x < IMAGE && y >= 0 && y < IMAGE) canvas[y * IMAGE + x] = Math.max(0, value);
    });
    const lightest = canvas.reduce((most, value) => Math.max(most, value), 0);
    return Uint8Array.from(canvas, (value) => round(value * (255 / lightest)));
  }

  /* Render the mask of a digit as 28x28 pixels, light on dark; null if it has no strokes. */
  function normalise(mask) {
    if (!boundingBox(mask)) return null;
    const grey = renderStrokes(mask);
    return boundingBox(grey, 0.5) ? centre(fitBox(grey)) : null;
  }

  /* Tell whether a grey image, from 0 to 255, is in MNIST's format already. */
  function isNormalised(grey) {
    if (grey.width !== IMAGE || grey.height !== IMAGE || !grey.data.some((value) => value >= 128)) return false;
    const mass = centreOfMass(grey);
    const offset = Math.max(Math.abs(mass.x - IMAGE / 2), Math.abs(mass.y - IMAGE / 2));
    return Math.abs(longerSide(boundingBox(grey)) - BOX) <= 1 && offset <= 1;
  }

  return {boundingBox, longerSide, normalise, isNormalised};
})();

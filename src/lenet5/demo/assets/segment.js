"use strict";

/* From an image file or the camera to the mask of a digit.
 * Much simpler than lenet5.load_digit: one digit on plain paper, in light that changes slowly. */
const Segment = (() => {
  const LONGER_SIDE = [160, 480]; // range to which an image is scaled, in pixels
  const MIN_CONTRAST = 20; // of 255
  const MIN_SIDE = 0.06; // of a component, as a fraction of the image's longer side
  const NEAR = 0.2; // gap between parts of one digit, as a fraction of its longer side
  const MAX_COVER = 0.6; // of a digit's box that its ink can cover, unless the box is narrow

  /* Draw an image on white, on a new canvas with a longer side of so many pixels. */
  function draw(image, longer) {
    const scale = longer / Math.max(image.width, image.height);
    const size = [image.width, image.height].map((length) => Math.max(1, Math.round(length * scale)));
    const context = new OffscreenCanvas(...size).getContext("2d", {willReadFrequently: true});
    context.imageSmoothingQuality = "high";
    context.fillStyle = "white";
    context.fillRect(0, 0, ...size);
    context.drawImage(image, 0, 0, ...size);
    return context;
  }

  /* Draw an image in a size in which a digit can be found. */
  function scale(image) {
    const [least, most] = LONGER_SIDE;
    return draw(image, Math.min(Math.max(image.width, image.height, least), most));
  }

  /* Grey levels from 0 to 255 (ITU-R BT.601). */
  function toGrey(context) {
    const {width, height} = context.canvas, {data} = context.getImageData(0, 0, width, height);
    const grey = new Float32Array(width * height);
    for (let i = 0; i < grey.length; i++) {
      grey[i] = 0.299 * data[4 * i] + 0.587 * data[4 * i + 1] + 0.114 * data[4 * i + 2];
    }
    return {data: grey, width, height};
  }

  /* Mean over a window of 2 * radius + 1 pixels a side, from running sums; the window is cut at the border. */
  function boxMean({data, width, height}, radius) {
    const sums = new Float64Array((width + 1) * (height + 1)), mean = new Float32Array(data.length);
    for (let y = 0; y < height; y++) {
      for (let x = 0, row = 0; x < width; x++) {
        row += data[y * width + x];
        sums[(y + 1) * (width + 1) + x + 1] = sums[y * (width + 1) + x + 1] + row;
      }
    }
    for (let y = 0; y < height; y++) {
      const top = Math.max(0, y - radius) * (width + 1), bottom = Math.min(height, y + radius + 1) * (width + 1);
      for (let x = 0; x < width; x++) {
        const left = Math.max(0, x - radius), right = Math.min(width, x + radius + 1);
        const area = ((bottom - top) / (width + 1)) * (right - left);
        mean[y * width + x] = (sums[bottom + right] - sums[bottom + left] - sums[top + right] + sums[top + left]) / area;
      }
    }
    return mean;
  }

  const windowRadius = ({width, height}) => Math.round(Math.max(width, height) / 6);

  /* The threshold that best separates two classes (Otsu, IEEE Trans. SMC 9(1), 1979), for values from 0 to 255. */
  function otsu(values) {
    const counts = new Float64Array(256);
    values.forEach((value) => counts[Math.min(255, Math.max(0, Math.floor(value)))]++);
    const total = counts.reduce((sum, count, level) => sum + count * level, 0);
    let [best, threshold, below, sum] = [-1, 0, 0, 0];
    for (let level = 0; level < 255; level++) {
      below += counts[level];
      sum += counts[level] * level;
      const above = values.length - below;
      if (!below || !above) continue;
      const between = below * above * (sum / below - (total - sum) / above) ** 2;
      if (between > best) [best, threshold] = [between, level + 1];
    }
    return threshold;
  }

  /* Estimate the background: the local mean of the pixels that are not ink, found in two rounds. */
  function background(grey, polarity) {
    const radius = windowRadius(grey);
    let paper = boxMean(grey, radius);
    for (let round = 0; round < 2; round++) {
      const keep = grey.data.map((value, i) => (polarity * (value - paper[i]) < MIN_CONTRAST / 2 ? 1 : 0));
      const weight = boxMean({...grey, data: keep}, radius);
      const sum = boxMean({...grey, data: grey.data.map((value, i) => value * keep[i])}, radius);
      paper = paper.map((value, i) => (weight[i] > 0.02 ? sum[i] / weight[i] : value));
    }
    return paper;
  }

  /* Number the components of eight connected neighbours; return them with their boxes and areas. */
  function components(ink, width, height) {
    const labels = new Int32Array(ink.length), found = [], stack = [];
    for (let start = 0; start < ink.length; start++) {
      if (!ink[start] || labels[start]) continue;
      const part = {label: found.length + 1, left: width, top: height, right: 0, bottom: 0, area: 0};
      labels[start] = part.label;
      stack.push(start);
      while (stack.length) {
        const pixel = stack.pop(), x = pixel % width, y = (pixel - x) / width;
        part.area++;
        part.left = Math.min(part.left, x);
        part.right = Math.max(part.right, x + 1);
        part.top = Math.min(part.top, y);
        part.bottom = Math.max(part.bottom, y + 1);
        for (let ny = Math.max(0, y - 1); ny <= Math.min(height - 1, y + 1); ny++) {
          for (let nx = Math.max(0, x - 1); nx <= Math.min(width - 1, x + 1); nx++) {
            const next = ny * width + nx;
            if (!ink[next] || labels[next]) continue;
            labels[next] = part.label;
            stack.push(next);
          }
        }
      }
      found.push(part);
    }
    return {labels, found};
  }

  const side = (part) => Math.max(part.right - part.left, part.bottom - part.top);
  const gap = (a, b) => Math.hypot(
    Math.max(0, b.left - a.right, a.left - b.right), Math.max(0, b.top - a.bottom, a.top - b.bottom));

  /* How much a component looks like a digit: large, in the middle, and of strokes rather than solid. */
  function score(part, width, height) {
    const columns = part.right - part.left, rows = part.bottom - part.top;
    const touches = part.left === 0 || part.top === 0 || part.right === width || part.bottom === height;
    const solid = part.area / (columns * rows) > MAX_COVER && Math.min(columns, rows) > 0.35 * side(part);
    const off = Math.hypot((part.left + part.right) / width - 1, (part.top + part.bottom) / height - 1);
    return side(part) * (1 - 0.35 * off) * (touches ? 0.2 : 1) * (solid ? 0.1 : 1);
  }

  /* Tell dark ink on light paper, -1, from light on dark, 1: ink is rare, so its side of the local mean has the long tail. */
  function polarityOf(grey) {
    const paper = boxMean(grey, windowRadius(grey));
    return grey.data.reduce((sum, value, i) => sum + (value - paper[i]) ** 3, 0) < 0 ? -1 : 1;
  }

  /* Mark what exceeds the background by more than noise and shadows do. */
  function inkOf(grey) {
    const polarity = polarityOf(grey), paper = background(grey, polarity);
    const excess = grey.data.map((value, i) => Math.max(0, polarity * (value - paper[i])));
    const visible = excess.filter((value) => value > MIN_CONTRAST);
    if (!visible.length) return null;
    const threshold = Math.max(MIN_CONTRAST, 0.6 * otsu(visible), otsu(excess));
    return excess.map((value) => (value > threshold ? 1 : 0));
  }

  /* Return the mask of the digit in a grey image, or null: the component most like a digit, and the parts near it. */
  function digit(grey) {
    const {width, height} = grey, ink = inkOf(grey);
    if (!ink) return null;
    const {labels, found} = components(ink, width, height);
    const large = found.filter((part) => side(part) >= MIN_SIDE * Math.max(width, height));
    if (!large.length) return null;
    const main = large.reduce((best, part) => (score(part, width, height) > score(best, width, height) ? part : best));
    const belongs = (part) => part === main
      || (part.area >= 0.02 * main.area && side(part) <= side(main) && gap(part, main) <= NEAR * side(main));
    const members = new Set(found.filter(belongs).map(({label}) => label)), data = new Uint8Array(labels.length);
    for (let i = 0; i < data.length; i++) data[i] = members.has(labels[i]) ? 1 : 0;
    return {data, width, height};
  }

  return {draw, scale, toGrey, digit};
})();

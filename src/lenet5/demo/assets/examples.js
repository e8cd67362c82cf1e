"use strict";

/* A digit of each class as strokes: points (x, y) in a box of 100 by 140, which a smooth curve passes through. */
const Examples = (() => {
  const STROKES = [
    [[[52, 2], [18, 22], [3, 70], [18, 122], [50, 138], [82, 120], [97, 70], [80, 20], [50, 2]]],
    [[[22, 34], [40, 20], [56, 2]], [[56, 2], [54, 48], [53, 92], [52, 138]]],
    [[[8, 34], [24, 8], [56, 2], [82, 18], [84, 46], [62, 82], [30, 114], [4, 136]], [[4, 136], [50, 132], [96, 135]]],
    [[[8, 16], [36, 2], [70, 8], [80, 34], [62, 58], [36, 64]], [[36, 64], [72, 72], [90, 100], [72, 130], [38, 138], [6, 124]]],
    [[[44, 2], [28, 40], [4, 88]], [[4, 88], [50, 88], [96, 84]], [[72, 42], [70, 92], [68, 138]]],
    [[[88, 4], [52, 4], [18, 4]], [[18, 4], [14, 34], [10, 62]], [[10, 62], [46, 52], [82, 72], [88, 102], [62, 132], [26, 138], [4, 124]]],
    [[[74, 2], [38, 30], [12, 78], [14, 116], [44, 138], [76, 124], [84, 98], [64, 76], [36, 80], [14, 104]]],
    [[[4, 6], [50, 4], [94, 2]], [[94, 2], [68, 50], [48, 94], [38, 138]]],
    [[[78, 20], [48, 2], [22, 18], [28, 44], [54, 64], [80, 92], [78, 122], [48, 138], [18, 122], [18, 94], [46, 66], [74, 44], [78, 20]]],
    [[[84, 32], [64, 4], [32, 6], [14, 34], [28, 62], [58, 62], [84, 32]], [[84, 32], [82, 78], [70, 138]]],
  ];

  /* Sample a Catmull-Rom spline through the points. */
  function smooth(points, samples = 8) {
    const at = (i) => points[Math.min(Math.max(i, 0), points.length - 1)];
    const curve = [points[0]];
    for (let i = 0; i + 1 < points.length; i++) {
      const [a, b, c, d] = [at(i - 1), at(i), at(i + 1), at(i + 2)];
      for (let k = 1; k <= samples; k++) {
        const t = k / samples;
        curve.push([0, 1].map((axis) => 0.5 * (2 * b[axis] + (c[axis] - a[axis]) * t
          + (2 * a[axis] - 5 * b[axis] + 4 * c[axis] - d[axis]) * t ** 2
          + (3 * b[axis] - a[axis] - 3 * c[axis] + d[axis]) * t ** 3)));
      }
    }
    return curve;
  }

  /* Return the strokes of a digit, centred on a pad of the given side. */
  function strokes(digit, side) {
    const scale = (0.62 * side) / 140, left = (side - 100 * scale) / 2, top = (side - 140 * scale) / 2;
    return STROKES[digit].map((points) => smooth(points).map(([x, y]) => [left + x * scale, top + y * scale]));
  }

  return {strokes};
})();

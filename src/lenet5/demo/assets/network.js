"use strict";

/* The two networks, layer by layer: float32 arrays in, float32 arrays out, sums in double precision.
 * A feature map is {data: Float32Array, shape: [maps, height, width]}. */
const Network = (() => {
  const C3_TABLE = [
    [0, 1, 2], [1, 2, 3], [2, 3, 4], [3, 4, 5], [0, 4, 5], [0, 1, 5],
    [0, 1, 2, 3], [1, 2, 3, 4], [2, 3, 4, 5], [0, 3, 4, 5], [0, 1, 4, 5], [0, 1, 2, 5],
    [0, 1, 3, 4], [1, 2, 4, 5], [0, 2, 3, 5], [0, 1, 2, 3, 4, 5],
  ]; // table I of the paper
  const ALL_SIX = Array.from({length: 16}, () => [0, 1, 2, 3, 4, 5]);
  const ONE = Array.from({length: 6}, () => [0]);

  /* Read the tensors of a safetensors file: an 8-byte length, a header in JSON, and little-endian numbers. */
  function parse(bytes) {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    const length = Number(view.getBigUint64(0, true));
    const header = JSON.parse(new TextDecoder().decode(bytes.subarray(8, 8 + length)));
    const tensors = {};
    for (const [name, {dtype, data_offsets: [start, end]}] of Object.entries(header)) {
      if (name === "__metadata__") continue;
      if (dtype !== "F32") throw new Error(`${name} is ${dtype}; expected F32`);
      const values = new Float32Array((end - start) / 4);
      for (let i = 0; i < values.length; i++) values[i] = view.getFloat32(8 + length + start + 4 * i, true);
      tensors[name] = values;
    }
    return tensors;
  }

  /* Normalise 28x28 pixels, from 0 to 255, with a black border. */
  function preprocess(pixels, {image_size: size, mean, std, padding}) {
    const data = new Float32Array(size * size).fill(-mean / std);
    const side = size - 2 * padding;
    for (let y = 0; y < side; y++) {
      for (let x = 0; x < side; x++) {
        data[(y + padding) * size + x + padding] = (pixels[y * side + x] / 255 - mean) / std;
      }
    }
    return {data, shape: [1, size, size]};
  }

  /* Convolve with 5x5 kernels, one for each connection in the table, in its order. */
  function convolution({data, shape: [, height, width]}, weight, bias, table, padding = 0) {
    const rows = height + 2 * padding - 4, columns = width + 2 * padding - 4;
    const output = new Float32Array(table.length * rows * columns);
    const sums = new Float64Array(rows * columns);
    let kernel = 0;
    table.forEach((sources, map) => {
      sums.fill(bias[map]);
      for (const source of sources) {
        for (let i = 0; i < 5; i++) {
          for (let j = 0; j < 5; j++) {
            const w = weight[kernel++];
            const first = Math.max(0, padding - j), last = Math.min(columns, width + padding - j);
            for (let y = Math.max(0, padding - i); y < Math.min(rows, height + padding - i); y++) {
              const from = (source * height + y + i - padding) * width + j - padding;
              for (let x = first; x < last; x++) sums[y * columns + x] += w * data[from + x];
            }
          }
        }
      }
      output.set(sums, map * rows * columns);
    });
    return {data: output, shape: [table.length, rows, columns]};
  }

  /* Replace each 2x2 window by a function of its four values and the number of its map. */
  function pool({data, shape: [maps, height, width]}, reduce) {
    const rows = height >> 1, columns = width >> 1;
    const output = new Float32Array(maps * rows * columns);
    for (let map = 0, k = 0; map < maps; map++) {
      for (let y = 0; y < rows; y++) {
        for (let x = 0; x < columns; x++, k++) {
          const i = (map * height + 2 * y) * width + 2 * x;
          output[k] = reduce(data[i], data[i + 1], data[i + width], data[i + width + 1], map);
        }
      }
    }
    return {data: output, shape: [maps, rows, columns]};
  }

  function dense({data}, weight, bias) {
    const output = Float32Array.from(bias, (sum, unit) => {
      for (let i = 0; i < data.length; i++) sum += weight[unit * data.length + i] * data[i];
      return sum;
    });
    return {data: output, shape: [output.length, 1, 1]};
  }

  /* Squared Euclidean distances to the prototypes: equation 7 of the paper. */
  function distances({data}, prototypes) {
    const output = new Float32Array(prototypes.length / data.length);
    for (let i = 0; i < output.length; i++) {
      let sum = 0;
      for (let j = 0; j < data.length; j++) sum += (data[j] - prototypes[i * data.length + j]) ** 2;
      output[i] = sum;
    }
    return {data: output, shape: [output.length, 1, 1]};
  }

  const relu = ({data, shape}) => ({data: data.map((x) => Math.max(0, x)), shape});
  const scaledTanh = ({data, shape}) => ({data: data.map((x) => 1.7159 * Math.tanh((2 / 3) * x)), shape});
  const maximum = (layer) => pool(layer, (a, b, c, d) => Math.max(a, b, c, d));
  const subsampling = (layer, weight, bias) =>
    pool(layer, (a, b, c, d, map) => (a + b + c + d) * weight[map] + bias[map]);

  /* LeNet-5 as it is built today: the layers of lenet5.LeNet5. */
  function today(input, t) {
    const c1 = relu(convolution(input, t["c1.conv.weight"], t["c1.conv.bias"], ONE, 2)); // 6 maps of 28x28
    const s2 = maximum(c1); // 6 maps of 14x14
    const c3 = relu(convolution(s2, t["c3.conv.weight"], t["c3.conv.bias"], ALL_SIX)); // 16 maps of 10x10
    const s4 = maximum(c3); // 16 maps of 5x5
    const c5 = relu(dense(s4, t["c5.linear.weight"], t["c5.linear.bias"])); // 120 units
    const f6 = relu(dense(c5, t["f6.linear.weight"], t["f6.linear.bias"])); // 84 units
    const output = dense(f6, t["output.weight"], t["output.bias"]); // 10 logits
    return {layers: {input, c1, s2, c3, s4, c5, f6, output}, logits: output.data};
  }

  /* LeNet-5 as published in 1998: the layers of lenet5.LeNet5Original. */
  function original(input, t) {
    const c1 = scaledTanh(convolution(input, t["c1.conv.weight"], t["c1.conv.bias"], ONE)); // 6 maps of 28x28
    const s2 = scaledTanh(subsampling(c1, t["s2.subsampling.weight"], t["s2.subsampling.bias"])); // 14x14
    const c3 = scaledTanh(convolution(s2, t["c3.conv.weight"], t["c3.conv.bias"], C3_TABLE)); // 16 maps of 10x10
    const s4 = scaledTanh(subsampling(c3, t["s4.subsampling.weight"], t["s4.subsampling.bias"])); // 5x5
    const c5 = scaledTanh(dense(s4, t["c5.conv.weight"], t["c5.conv.bias"])); // 120 units: its maps are 1x1
    const f6 = scaledTanh(dense(c5, t["f6.linear.weight"], t["f6.linear.bias"])); // 84 units
    const output = distances(f6, t["output.prototypes"]); // 10 distances
    return {layers: {input, c1, s2, c3, s4, c5, f6, output}, logits: output.data.map((distance) => -distance)};
  }

  function softmax(logits) {
    const largest = Math.max(...logits);
    const powers = Array.from(logits, (logit) => Math.exp(logit - largest));
    const total = powers.reduce((sum, power) => sum + power, 0);
    return Float32Array.from(powers, (power) => power / total);
  }

  const ARCHITECTURES = {LeNet5: today, LeNet5Original: original};

  /* Build a network from its config.json and its tensors: a function from 28x28 pixels to an answer. */
  function build(config, tensors) {
    const {architecture, preprocess: normalisation, meta} = config;
    const threshold = meta.abstention ? meta.abstention.threshold : 0;
    return (pixels) => {
      const {layers, logits} = ARCHITECTURES[architecture](preprocess(pixels, normalisation), tensors);
      const probabilities = softmax(logits);
      const label = logits.indexOf(Math.max(...logits));
      return {layers, logits, probabilities, label, confident: probabilities[label] >= threshold};
    };
  }

  return {C3_TABLE, parse, build};
})();

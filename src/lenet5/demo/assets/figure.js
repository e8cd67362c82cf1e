"use strict";

/* The layers of a network, laid out as in figure 2 of the paper, each map on a canvas of its own size. */
const Figure = (() => {
  const COLUMNS = 7; // of F6's units as a bitmap, and of a prototype
  const LAYERS = {
    input: {name: "INPUT", shape: [1, 28, 28], size: "28×28", from: "pixels"},
    c1: {name: "C1", shape: [6, 28, 28], size: "6@28×28", from: "convolutions"},
    s2: {name: "S2", shape: [6, 14, 14], size: "6@14×14", from: "subsampling"},
    c3: {name: "C3", shape: [16, 10, 10], size: "16@10×10", from: "convolutions"},
    s4: {name: "S4", shape: [16, 5, 5], size: "16@5×5", from: "subsampling"},
    c5: {name: "C5", shape: [1, 15, 8], size: "120", from: "full connection"},
    f6: {name: "F6", shape: [1, 12, COLUMNS], size: "84", from: "full connection"},
  };
  const INPUT_1998 = {name: "INPUT", shape: [1, 32, 32], size: "32×32", from: "pixels"};

  const GREYS = Array.from({length: 511}, (_, i) => Array(3).fill(Math.max(0, i - 255))); // for values from 0 to most

  /* Make an element with attributes and children. */
  function element(tag, attributes = {}, ...children) {
    const made = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
    made.append(...children);
    return made;
  }

  function bitmap(width, height) {
    return element("canvas", {width, height, "aria-hidden": "true"});
  }

  /* 511 colours from the most negative value to the most positive one, as the style sheet names them. */
  function palette() {
    const style = getComputedStyle(document.documentElement);
    const [negative, zero, positive] = ["--negative", "--zero", "--positive"].map((name) =>
      style.getPropertyValue(name).trim().match(/[0-9a-f]{2}/gi).map((part) => parseInt(part, 16)));
    return Array.from({length: 511}, (_, i) => {
      const strength = Math.abs(i - 255) / 255, end = i < 255 ? negative : positive;
      return zero.map((level, channel) => Math.round(level + (end[channel] - level) * strength ** 0.8));
    });
  }

  /* Paint values from -most to most on a canvas. */
  function paint(canvas, values, most, colours) {
    const context = canvas.getContext("2d"), pixels = context.createImageData(canvas.width, canvas.height);
    for (let i = 0; i < values.length; i++) {
      const level = 255 + Math.round(255 * Math.max(-1, Math.min(1, values[i] / most)));
      pixels.data.set(colours[level], 4 * i);
      pixels.data[4 * i + 3] = 255;
    }
    context.putImageData(pixels, 0, 0);
  }

  const largest = (values) => values.reduce((most, value) => Math.max(most, Math.abs(value)), 1e-6);

  class Figure {
    /* A network of 1998 has prototypes, (10, 84); one of today has none. */
    constructor(root, prototypes = null) {
      this.prototypes = prototypes;
      const layers = {...LAYERS, ...(prototypes && {input: INPUT_1998})};
      this.maps = Object.fromEntries(Object.entries(layers).map(([key, layer]) => {
        const [count, height, width] = layer.shape;
        const maps = Array.from({length: count}, () => bitmap(width, height));
        const grid = element("div", {class: "maps"}, ...maps);
        root.append(this.layer(key, layer.name, layer.size, layer.from, grid));
        return [key, maps];
      }));
      const output = prototypes ? this.rbf() : this.units();
      root.append(this.layer("output", "OUTPUT", "10", prototypes ? "Gaussian connections" : "full connection", output));
      this.refresh();
    }

    layer(key, name, size, from, content) {
      const caption = element("figcaption", {},
        element("strong", {}, name), element("span", {class: "size"}, size), element("span", {class: "from"}, from));
      return element("figure", {class: `layer ${key}`}, caption, content);
    }

    /* The ten prototypes, each with its distance from F6. */
    rbf() {
      this.outputs = Array.from({length: 10}, (_, digit) => {
        const canvas = bitmap(COLUMNS, 12), value = element("span", {class: "value"}, "–");
        return {canvas, value, item: element("li", {}, canvas, element("b", {}, String(digit)), value)};
      });
      return element("ol", {class: "prototypes", "aria-label": "Distances from F6 to the prototypes"},
        ...this.outputs.map(({item}) => item));
    }

    units() {
      this.outputs = Array.from({length: 10}, (_, digit) => {
        const canvas = bitmap(1, 1), value = element("span", {class: "value"}, "–");
        return {canvas, value, item: element("li", {}, canvas, element("b", {}, String(digit)), value)};
      });
      return element("ol", {class: "units", "aria-label": "Logits"}, ...this.outputs.map(({item}) => item));
    }

    /* Take the colours anew and paint everything, as after a change between light and dark. */
    refresh() {
      this.colours = palette();
      this.show(this.answer);
    }

    /* Show an answer of the network, or nothing. */
    show(answer) {
      this.answer = answer;
      for (const [key, maps] of Object.entries(this.maps)) {
        if (key === "input") {
          this.showInput(maps[0]);
          continue;
        }
        const values = answer ? answer.layers[key].data : new Float32Array(0);
        const most = largest(values);
        maps.forEach((canvas, map) => {
          const size = canvas.width * canvas.height;
          paint(canvas, answer ? values.subarray(map * size, (map + 1) * size) : new Float32Array(size), most, this.colours);
        });
      }
      this.showOutputs(answer);
    }

    /* The image light on dark, as MNIST's are. */
    showInput(canvas) {
      const values = this.answer ? this.answer.layers.input.data : new Float32Array(canvas.width * canvas.height);
      const [low, high] = [Math.min(...values), Math.max(...values)];
      paint(canvas, values.map((value) => value - low), high - low || 1, GREYS);
    }

    showOutputs(answer) {
      const output = answer ? answer.layers.output.data : new Float32Array(10);
      const most = largest(output);
      this.outputs.forEach(({canvas, value, item}, digit) => {
        item.classList.toggle("best", Boolean(answer) && digit === answer.label);
        value.textContent = answer ? output[digit].toFixed(1).replace("-", "−") : "–";
        if (this.prototypes) paint(canvas, this.prototypes.subarray(84 * digit, 84 * (digit + 1)), 1.25, this.colours);
        else paint(canvas, [output[digit]], most, this.colours);
      });
    }
  }

  return {Figure, GREYS, element, paint};
})();

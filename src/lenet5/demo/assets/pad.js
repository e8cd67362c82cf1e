"use strict";

/* The surface to draw on: strokes as lists of points, by pointer and by keys, with undo.
 * What was drawn is kept twice: sharp on the visible canvas, and as 280x280 pixels that the networks are given. */
const Pad = (() => {
  const SIDE = 280; // of the drawing in its own units: 10 for each pixel of MNIST
  const PEN = 22; // width of the pen
  const STEP = 10, BIG_STEP = 30; // of the keys, the second with Shift
  const MOVES = {
    ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1],
    Home: [-1, -1], PageUp: [1, -1], End: [-1, 1], PageDown: [1, 1], // as the number pad has them
  };

  /* Draw strokes in the drawing's own units, smoothly through the middles between their points. */
  function trace(context, strokes) {
    Object.assign(context, {lineWidth: PEN, lineCap: "round", lineJoin: "round"});
    for (const points of strokes) {
      context.beginPath();
      context.moveTo(...points[0]);
      points.slice(1, -1).forEach(([x, y], i) => {
        const [nextX, nextY] = points[i + 2];
        context.quadraticCurveTo(x, y, (x + nextX) / 2, (y + nextY) / 2);
      });
      context.lineTo(...points[points.length - 1]);
      context.stroke();
    }
  }

  class Pad {
    /* The handlers: change() after every movement, lift() when the pen leaves the paper, say(text) for announcements. */
    constructor(canvas, handlers) {
      Object.assign(this, {canvas, handlers, strokes: [], photo: null, history: []});
      this.drawing = new OffscreenCanvas(SIDE, SIDE).getContext("2d", {willReadFrequently: true});
      this.pen = {x: SIDE / 2, y: SIDE / 4, down: false, shown: false};
      this.pointer = null;
      for (const type of ["pointerdown", "pointermove", "pointerup", "pointercancel", "keydown", "focus", "blur"]) {
        canvas.addEventListener(type, (event) => this[type](event));
      }
      new ResizeObserver(() => this.paint()).observe(canvas);
    }

    get isEmpty() {
      return !this.strokes.length && !this.photo;
    }

    /* The ink as a mask of 280x280, 1 where it covers at least half of a pixel. */
    mask() {
      this.drawing.clearRect(0, 0, SIDE, SIDE);
      trace(this.drawing, this.strokes);
      const {data: colours} = this.drawing.getImageData(0, 0, SIDE, SIDE), data = new Uint8Array(SIDE * SIDE);
      for (let i = 0; i < data.length; i++) data[i] = colours[4 * i + 3] >= 128 ? 1 : 0;
      return {data, width: SIDE, height: SIDE};
    }

    /* Replace what is drawn, so that undo brings it back. */
    replace(strokes, photo = null) {
      this.remember();
      Object.assign(this, {strokes, photo});
      this.changed();
    }

    clear() {
      this.lower(false);
      if (!this.isEmpty) this.replace([]);
    }

    undo() {
      this.lower(false);
      if (this.history.length) Object.assign(this, this.history.pop());
      this.changed();
    }

    remember() {
      this.history.push({strokes: this.strokes, photo: this.photo});
    }

    changed() {
      this.paint();
      this.handlers.change();
    }

    begin(point) {
      this.remember();
      this.strokes = [...(this.photo ? [] : this.strokes), [point, point]];
      this.photo = null;
      this.changed();
    }

    extend(points) {
      this.strokes[this.strokes.length - 1].push(...points);
      this.changed();
    }

    // Pointers

    position(event) {
      const box = this.canvas.getBoundingClientRect();
      return [(event.clientX - box.left) * (SIDE / box.width), (event.clientY - box.top) * (SIDE / box.height)];
    }

    pointerdown(event) {
      if (this.pointer !== null || event.button > 0) return;
      event.preventDefault();
      this.canvas.focus({preventScroll: true});
      this.lower(false);
      this.pen.shown = false;
      this.pointer = event.pointerId;
      this.canvas.setPointerCapture(event.pointerId);
      this.begin(this.position(event));
    }

    pointermove(event) {
      if (event.pointerId !== this.pointer) return;
      const events = event.getCoalescedEvents ? event.getCoalescedEvents() : [];
      this.extend((events.length ? events : [event]).map((part) => this.position(part)));
    }

    pointerup(event) {
      if (event.pointerId !== this.pointer) return;
      this.pointer = null;
      this.handlers.lift();
    }

    pointercancel(event) {
      this.pointerup(event);
    }

    // Keys

    keydown(event) {
      if (event.ctrlKey || event.metaKey || event.altKey) return;
      if (event.key in MOVES) this.move(MOVES[event.key], event.shiftKey ? BIG_STEP : STEP);
      else if (event.key === " ") this.lower(!this.pen.down);
      else if (event.key === "Escape") this.lower(false);
      else if (event.key === "Backspace") this.undo();
      else if (event.key === "Delete") this.clear();
      else return;
      event.preventDefault();
    }

    move([x, y], step) {
      const within = (value) => Math.min(Math.max(value, PEN / 2), SIDE - PEN / 2);
      this.pen = {...this.pen, x: within(this.pen.x + x * step), y: within(this.pen.y + y * step), shown: true};
      if (this.pen.down) this.extend([[this.pen.x, this.pen.y]]);
      else this.paint();
    }

    lower(down) {
      if (this.pen.down === down) return;
      Object.assign(this.pen, {down, shown: true});
      if (down) {
        this.handlers.say("Pen down");
        this.begin([this.pen.x, this.pen.y]);
      } else {
        this.paint();
        this.handlers.lift();
      }
    }

    focus() {
      if (this.canvas.matches(":focus-visible") && this.pointer === null) this.pen.shown = true;
      this.paint();
    }

    blur() {
      this.lower(false);
      this.pen.shown = false;
      this.paint();
    }

    // The visible canvas

    paint() {
      const {canvas} = this, context = canvas.getContext("2d");
      const side = Math.max(1, Math.round(canvas.clientWidth * devicePixelRatio)), style = getComputedStyle(canvas);
      if (canvas.width !== side) canvas.width = canvas.height = side;
      context.setTransform(side / SIDE, 0, 0, side / SIDE, 0, 0);
      context.clearRect(0, 0, SIDE, SIDE);
      if (this.photo) this.paintPhoto(context, style);
      context.strokeStyle = style.color;
      trace(context, this.strokes);
      if (this.pen.shown) this.paintPen(context, style);
    }

    paintPhoto(context, style) {
      const {image, overlay} = this.photo, scale = SIDE / Math.max(image.width, image.height);
      const size = [image.width * scale, image.height * scale], corner = size.map((length) => (SIDE - length) / 2);
      context.imageSmoothingEnabled = image.width > 56;
      context.drawImage(image, ...corner, ...size);
      if (!overlay) return;
      const tint = new OffscreenCanvas(image.width, image.height), layer = tint.getContext("2d");
      layer.drawImage(overlay, 0, 0);
      Object.assign(layer, {globalCompositeOperation: "source-in", fillStyle: style.getPropertyValue("--positive")});
      layer.fillRect(0, 0, image.width, image.height);
      context.globalAlpha = 0.8;
      context.drawImage(tint, ...corner, ...size);
      context.globalAlpha = 1;
    }

    paintPen(context, style) {
      const {x, y, down} = this.pen;
      Object.assign(context, {lineWidth: 2, strokeStyle: style.getPropertyValue("--accent")});
      context.beginPath();
      context.arc(x, y, PEN / 2, 0, 2 * Math.PI);
      for (const [dx, dy] of [[1, 0], [-1, 0], [0, 1], [0, -1]]) {
        context.moveTo(x + dx * (PEN / 2), y + dy * (PEN / 2));
        context.lineTo(x + dx * PEN, y + dy * PEN);
      }
      context.stroke();
      context.fillStyle = context.strokeStyle;
      if (down) context.fill();
    }
  }

  return {Pad, SIDE};
})();

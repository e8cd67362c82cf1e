"use strict";

/* The page: what is drawn goes through the networks and is shown. */
(() => {
  const find = (id) => document.getElementById(id);
  const about = JSON.parse(find("about").textContent);
  const networks = Object.fromEntries(Object.entries(about.networks).map(([key, {config, tensors}]) => {
    const parsed = Network.parse(Uint8Array.from(atob(tensors), (character) => character.charCodeAt(0)));
    return [key, {tensors: parsed, run: Network.build(config, parsed)}];
  }));
  const prototypes = networks.original.tensors["output.prototypes"];
  const figures = {original: new Figure.Figure(find("original"), prototypes), today: new Figure.Figure(find("today"))};
  const rows = Array.from({length: 10}, (_, digit) => addRow(digit));
  const pad = new Pad.Pad(find("pad"), {change: schedule, lift: answer, say});
  let latest = null; // {pixels, original, today}, or null while nothing is drawn
  let scheduled = 0, animation = 0; // requested frames

  function addRow(digit) {
    const {element} = Figure;
    const cells = Object.fromEntries(["original", "today"].map((key) => {
      const bar = element("span", {class: "bar"}), text = element("span", {class: "percent"}, "–");
      return [key, {bar, text, cell: element("td", {class: `probability ${key}`}, bar, text)}];
    }));
    const distance = element("td", {class: "distance"}, "–");
    const row = element("tr", {}, element("th", {scope: "row"}, String(digit)), cells.original.cell, distance,
      cells.today.cell);
    find("rows").append(row);
    return {...cells, distance};
  }

  // From the drawing to the answer

  function pixels() {
    if (pad.photo) return pad.photo.pixels;
    return pad.isEmpty ? null : Normalise.normalise(pad.mask());
  }

  function update() {
    cancelAnimationFrame(scheduled);
    scheduled = 0;
    const image = pixels();
    latest = image && {pixels: image, original: networks.original.run(image), today: networks.today.run(image)};
    show();
  }

  /* Recognise once before the next frame, however often the pen moves until then. */
  function schedule() {
    scheduled ||= requestAnimationFrame(update);
  }

  /* Recognise at once and announce the answer. */
  function answer() {
    update();
    if (latest) say(`1998: ${described("original")}. Today: ${described("today")}.`);
    else say(pad.isEmpty ? "The pad is empty." : "");
  }

  function described(key) {
    const {label, probabilities, confident} = latest[key];
    return `${label}, ${percent(probabilities[label])}${confident ? "" : ", low confidence"}`;
  }

  const percent = (probability) => (probability > 0.9995 ? "> 99.9 %" : `${(100 * probability).toFixed(1)} %`);

  function say(text) {
    find("status").textContent = text;
  }

  // What is shown

  function show() {
    document.body.classList.toggle("empty", pad.isEmpty);
    const image = latest ? Float32Array.from(latest.pixels) : new Float32Array(28 * 28);
    Figure.paint(find("seen"), image, 255, Figure.GREYS);
    for (const key of ["original", "today"]) {
      showHead(key);
      figures[key].show(latest && latest[key]);
      rows.forEach((row, digit) => showProbability(row[key], latest && latest[key], digit));
    }
    rows.forEach(({distance}, digit) => {
      distance.textContent = latest ? latest.original.layers.output.data[digit].toFixed(1) : "–";
      distance.classList.toggle("best", Boolean(latest) && digit === latest.original.label);
    });
    showMatch();
  }

  function showHead(key) {
    const head = find(`head-${key}`), result = latest && latest[key];
    head.querySelector(".digit").textContent = result ? String(result.label) : "–";
    head.querySelector(".mark").textContent = result && !result.confident ? "low confidence" : "";
    head.classList.toggle("doubtful", Boolean(result) && !result.confident);
  }

  function showProbability({bar, text, cell}, result, digit) {
    const probability = result ? result.probabilities[digit] : 0;
    bar.style.setProperty("--probability", probability);
    text.textContent = result ? percent(probability) : "–";
    cell.classList.toggle("best", Boolean(result) && digit === result.label);
  }

  /* F6 of 1998 as a bitmap, beside the prototype that is nearest to it. */
  function showMatch() {
    const result = latest && latest.original, colours = figures.original.colours;
    Figure.paint(find("f6"), result ? result.layers.f6.data : new Float32Array(84), 1.25, colours);
    const nearest = result ? prototypes.subarray(84 * result.label, 84 * (result.label + 1)) : new Float32Array(84);
    Figure.paint(find("prototype"), nearest, 1.25, colours);
    find("nearest").textContent = result ? `prototype of ${result.label}` : "nearest prototype";
  }

  function complain(text) {
    find("message").textContent = text;
  }

  // Images

  /* Recognise an image. */
  function openImage(image) {
    const photo = unchanged(image) || segmented(image);
    settle();
    pad.replace([], photo);
    if (!photo.pixels) complain("No digit was found. Expected one, on plain paper.");
    answer();
  }

  /* Take an image in MNIST's format as it is; return null for any other. */
  function unchanged(image) {
    if (image.width !== 28 || image.height !== 28) return null;
    const context = Segment.draw(image, 28), grey = Segment.toGrey(context);
    if (!Normalise.isNormalised(grey)) return null;
    return {image: context.canvas, pixels: Uint8Array.from(grey.data, (value) => Math.round(value))};
  }

  function segmented(image) {
    const context = Segment.scale(image), mask = Segment.digit(Segment.toGrey(context));
    const photo = {image: context.canvas, pixels: mask && Normalise.normalise(mask)};
    if (!photo.pixels) return photo;
    const overlay = new OffscreenCanvas(mask.width, mask.height);
    paintMask(overlay, mask.data);
    return {...photo, overlay};
  }

  function paintMask(canvas, data) {
    const context = canvas.getContext("2d"), pixels = context.createImageData(canvas.width, canvas.height);
    data.forEach((value, i) => (pixels.data[4 * i + 3] = 255 * value));
    context.putImageData(pixels, 0, 0);
  }

  async function openFile(file) {
    try {
      openImage(await createImageBitmap(file));
    } catch {
      complain(`${file.name || "The image"} cannot be read. Expected an image, such as a PNG or JPEG file.`);
    }
  }

  // The camera

  const video = find("video");

  async function startCamera() {
    try {
      video.srcObject = await navigator.mediaDevices.getUserMedia({video: {facingMode: "environment"}});
      await video.play();
      showCamera(true);
      complain("");
    } catch {
      stopCamera();
      complain("The camera cannot be used. Allow it in the browser, or open an image.");
    }
  }

  function stopCamera() {
    if (video.srcObject) video.srcObject.getTracks().forEach((track) => track.stop());
    video.srcObject = null;
    showCamera(false);
  }

  function showCamera(on) {
    video.hidden = !on;
    find("camera").textContent = on ? "Take picture" : "Camera";
  }

  /* Take the middle square, which is what the pad shows. */
  async function takePicture() {
    const {videoWidth: width, videoHeight: height} = video, side = Math.min(width, height);
    const picture = await createImageBitmap(video, (width - side) / 2, (height - side) / 2, side, side);
    openImage(picture);
  }

  // Controls

  /* End what is going on: an example that is being drawn, the camera, a message. */
  function settle() {
    cancelAnimationFrame(animation);
    stopCamera();
    complain("");
  }

  /* Draw an example point by point; at once if the reader prefers less motion. */
  function drawExample(digit) {
    settle();
    const strokes = Examples.strokes(digit, Pad.SIDE), total = strokes.reduce((sum, points) => sum + points.length, 0);
    const duration = matchMedia("(prefers-reduced-motion: reduce)").matches ? 0 : 600; // milliseconds
    const begin = performance.now();
    pad.replace([]);
    const step = (now) => {
      const fraction = now - begin >= duration ? 1 : Math.max(0, now - begin) / duration;
      let left = Math.ceil(fraction * total);
      pad.strokes = strokes.map((points) => {
        const shown = points.slice(0, Math.max(0, left));
        left -= points.length;
        return shown;
      }).filter((points) => points.length);
      pad.changed();
      if (fraction < 1) animation = requestAnimationFrame(step);
      else answer();
    };
    step(begin);
  }

  for (let digit = 0; digit < 10; digit++) {
    const button = Figure.element("button", {type: "button", "aria-label": `Draw a ${digit}`}, String(digit));
    button.addEventListener("click", () => drawExample(digit));
    document.querySelector(".examples").append(button);
  }
  for (const action of ["undo", "clear"]) {
    find(action).addEventListener("click", () => {
      settle();
      pad[action]();
      answer();
    });
  }
  for (const type of ["pointerdown", "keydown"]) find("pad").addEventListener(type, settle, {capture: true});
  find("open").addEventListener("click", () => find("file").click());
  find("file").addEventListener("change", ({target}) => {
    if (target.files.length) openFile(target.files[0]);
    target.value = "";
  });
  find("camera").addEventListener("click", () => (video.srcObject ? takePicture() : startCamera()));
  find("camera").hidden = !(navigator.mediaDevices && navigator.mediaDevices.getUserMedia);
  addEventListener("paste", ({clipboardData}) => {
    const file = [...clipboardData.files].find(({type}) => type.startsWith("image/"));
    if (file) openFile(file);
  });
  addEventListener("dragover", (event) => event.preventDefault());
  addEventListener("drop", (event) => {
    event.preventDefault();
    if (event.dataTransfer.files.length) openFile(event.dataTransfer.files[0]);
  });
  addEventListener("keydown", (event) => {
    if (event.key.toLowerCase() !== "z" || !(event.ctrlKey || event.metaKey)) return;
    event.preventDefault();
    find("undo").click();
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
    Object.values(figures).forEach((figure) => figure.refresh());
    pad.paint();
    show();
  });

  find("version").textContent = about.version;
  find("names").textContent = Object.values(about.networks).map(({name}) => name).join(" and ");
  show();

  /* For the console and for tests: the latest answer, and the drawing as the networks are given it. */
  globalThis.lenet5 = {
    get latest() {
      return latest;
    },
    mask: () => pad.mask(),
    normalise: Normalise.normalise,
  };
})();

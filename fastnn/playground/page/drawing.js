// What stands on the three canvases. Nothing here knows the server or the settings.

const ZERO = [232, 131, 12], MIDDLE = [247, 247, 244], ONE = [31, 111, 180];
const STRONG = { 0: "#c96a00", 1: "#1f6fb4" };
const POINT = { 0: "#8f4700", 1: "#0b3f70" }; // to be seen on the color of their own class, too
const INK = "#1d2733", FAINT = "#66717e", LINE = "#d5dbe1", TEST = "#8a4fa3";

// A byte's color: from class 0, or negative outputs, to class 1.
const COLORS = new Uint32Array(256);
for (let i = 0; i < 256; i++) {
  const share = i / 255, end = share < 0.5 ? ZERO : ONE, s = 0.85 * Math.abs(2 * share - 1);
  const [r, g, b] = MIDDLE.map((one, k) => Math.round(one + s * (end[k] - one)));
  COLORS[i] = new Uint32Array(new Uint8ClampedArray([r, g, b, 255]).buffer)[0];
}

/** The context of a canvas whose memory fits the screen's pixels, cleared, and its size in CSS pixels. */
export function prepared(canvas) {
  const ratio = Math.min(window.devicePixelRatio || 1, 2);
  const { clientWidth: width, clientHeight: height } = canvas;
  if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(height * ratio);
  }
  const context = canvas.getContext("2d");
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, width, height);
  const size = parseFloat(getComputedStyle(canvas).fontSize);
  context.font = `${0.85 * size}px ${getComputedStyle(canvas).fontFamily}`;
  return { context, width, height, size };
}

/** Small canvases, one for each region, filled from their bytes. */
export class Regions {
  constructor() {
    this.canvases = [];
  }

  fill(bytes, side) {
    const area = side * side, count = bytes.length / area;
    while (this.canvases.length < count) this.canvases.push(document.createElement("canvas"));
    this.canvases.length = count;
    this.canvases.forEach((canvas, k) => {
      if (canvas.width !== side) canvas.width = canvas.height = side;
      const context = canvas.getContext("2d"), image = context.createImageData(side, side);
      const pixels = new Uint32Array(image.data.buffer);
      for (let i = 0; i < area; i++) pixels[i] = COLORS[bytes[k * area + i]];
      context.putImageData(image, 0, 0);
    });
  }
}

/** The regions of the inputs x1 and x2, which are always the same. */
export function inputRegions(side) {
  const regions = new Regions(), bytes = new Uint8Array(2 * side * side);
  for (let i = 0; i < side; i++) {
    for (let j = 0; j < side; j++) {
      bytes[i * side + j] = Math.round((255 * (j + 0.5)) / side);
      bytes[(side + i) * side + j] = Math.round(255 - (255 * (i + 0.5)) / side);
    }
  }
  regions.fill(bytes, side);
  return regions;
}

/** A region and the points on it. */
export function drawRegion(canvas, region, parts, edge, withTest) {
  const { context, width, height } = prepared(canvas);
  context.imageSmoothingEnabled = true;
  if (region) context.drawImage(region, 0, 0, width, height);
  const radius = Math.max(2.4, width / 130);
  parts.forEach(({ x, t }, part) => {
    if (part === 1 && !withTest) return;
    for (let i = 0; i < t.length; i++) {
      context.beginPath();
      const left = (width * (x[i][0] / edge + 1)) / 2, top = (height * (1 - x[i][1] / edge)) / 2;
      context.arc(left, top, radius, 0, 7);
      context.fillStyle = POINT[t[i]];
      context.strokeStyle = part === 1 ? INK : "#fff";
      context.lineWidth = 1;
      context.fill();
      context.stroke();
    }
  });
}

/** Both curves of the loss over the steps, from 0 to the largest. */
export function drawLosses(canvas, records) {
  const { context, width, height, size } = prepared(canvas);
  const left = 2.6 * size, bottom = height - 1.4 * size, top = 0.6 * size, right = width - 0.4 * size;
  const last = records.length ? Math.max(records.at(-1)[0], 1) : 1;
  const largest = Math.max(0.1, ...records.map((one) => Math.max(one[1], one[2]))) * 1.05;
  const y = (value) => bottom - ((bottom - top) * value) / largest;
  context.fillStyle = FAINT;
  context.textAlign = "right";
  context.textBaseline = "middle";
  context.lineWidth = 1;
  context.strokeStyle = LINE;
  for (const value of ticks(largest)) {
    line(context, [[left, y(value)], [right, y(value)]]);
    context.fillText(String(value), left - 0.4 * size, y(value));
  }
  context.textBaseline = "top";
  context.fillText(`${(records.at(-1)?.[0] ?? 0).toLocaleString("en")} steps`, right, bottom + 0.3 * size);
  context.lineWidth = Math.max(1.5, size / 8);
  [TEST, INK].forEach((color, k) => {
    context.strokeStyle = color;
    line(context, records.map((one) => [left + ((right - left) * one[0]) / last, y(one[2 - k])]));
  });
}

function ticks(largest) {
  const power = 10 ** Math.floor(Math.log10(largest));
  const step = [0.2, 0.5, 1].map((one) => one * power).find((one) => largest / one <= 4.5) ?? 2 * power;
  return Array.from({ length: Math.floor(largest / step) + 1 }, (_, i) => Number((i * step).toPrecision(3)));
}

function line(context, points) {
  context.beginPath();
  for (const [x, y] of points) context.lineTo(x, y);
  context.stroke();
}

/** Where each neuron stands: rows of squares {x, y, side}, for the inputs, the hidden layers and the output. */
export function places(widths, width, height, size) {
  const top = 1.6 * size, most = Math.max(...widths);
  const side = Math.min(width / (1.7 * widths.length - 0.4), (height - top) / (1.22 * most), 7 * size);
  const gap = widths.length > 1 ? (width - side - 4) / (widths.length - 1) : 0;
  return widths.map((count, column) =>
    Array.from({ length: count }, (_, row) => {
      const room = (height - top) / most;
      return { x: 2 + column * gap, y: top + (height - top) / 2 + (row - count / 2) * room + (room - side) / 2, side };
    }),
  );
}

/** The neurons with their regions, and the weights between them; returns the places. */
export function drawNetwork(canvas, inputs, regions, weights, chosen) {
  const { context, width, height, size } = prepared(canvas);
  const widths = [2, ...weights.map((one) => one[0].length)];
  const columns = places(widths, width, height, size);
  weights.forEach((layer, k) => drawWeights(context, layer, columns[k], columns[k + 1], size));
  const last = columns.length - 1;
  let hidden = 1;
  columns.forEach((column, k) => {
    column.forEach((place, row) => {
      const number = k === 0 ? -1 - row : k === last ? 0 : hidden++;
      place.number = number;
      place.name = k === 0 ? `Input x${row + 1}` : k === last ? "Decision region" : `Layer ${k}, neuron ${row + 1}`;
      const region = k === 0 ? inputs.canvases[row] : regions.canvases[number];
      context.drawImage(region, place.x, place.y, place.side, place.side);
      context.strokeStyle = number === chosen ? "#ffbf47" : INK;
      context.lineWidth = number === chosen ? 4 : 1;
      context.strokeRect(place.x, place.y, place.side, place.side);
    });
    context.fillStyle = FAINT;
    context.textBaseline = "top";
    context.textAlign = k === 0 ? "left" : k === last ? "right" : "center";
    const { x, side } = column[0];
    const label = k === 0 ? "inputs" : k === last ? "output" : columns.length > 5 && width < 500 ? `${k}` : `layer ${k}`;
    context.fillText(label, k === 0 ? x : k === last ? x + side : x + side / 2, 0);
  });
  return columns;
}

function drawWeights(context, layer, from, to, size) {
  const largest = Math.max(1, ...layer.flat().map(Math.abs));
  layer.forEach((row, i) => {
    row.forEach((weight, j) => {
      const share = Math.abs(weight) / largest;
      const [x0, y0] = [from[i].x + from[i].side, from[i].y + from[i].side / 2];
      const [x1, y1] = [to[j].x, to[j].y + to[j].side / 2];
      context.beginPath();
      context.moveTo(x0, y0);
      context.bezierCurveTo((x0 + x1) / 2, y0, (x0 + x1) / 2, y1, x1, y1);
      context.globalAlpha = 0.25 + 0.6 * share;
      context.lineWidth = 0.4 + 0.35 * size * share;
      context.strokeStyle = STRONG[weight > 0 ? 1 : 0];
      context.stroke();
    });
  });
  context.globalAlpha = 1;
}

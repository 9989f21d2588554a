// The cells of one slide, away from the page's own thread: unpacks tiles of the tile
// file, counts them, draws pieces of the overlay, and finds the cell under a point.
//
// Runs as a worker. The layout of the tiles is told in viewer/src/tiles/mod.rs.
"use strict";

const PIECE = 512; // px along a piece of the overlay
const TILE_SIDE = 4096; // level-0 px along a tile of points and outlines
const DENSITY_SIDE = 16384; // level-0 px along a tile of densities
const DENSITY_BIN = 32; // level-0 px along a bin
const BINS = DENSITY_SIDE / DENSITY_BIN; // bins along a tile
const STEPS = 101; // score steps, 0 to 100
const KEPT_BYTES = 160e6; // unpacked tiles that are kept
const SMALLEST_OUTLINE = 5; // px across, below which cells are drawn as points

// ---- unpacking ----

/** Takes numbers from the front of bytes. */
class Taker {
  constructor(bytes) {
    this.bytes = bytes;
    this.at = 0;
  }

  varint() {
    let value = 0;
    let scale = 1;
    for (;;) {
      const byte = this.bytes[this.at++];
      if (byte === undefined) throw new Error("a tile is cut short");
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) return value;
      scale *= 128;
    }
  }

  signed() {
    const value = this.varint();
    return value % 2 ? -(value + 1) / 2 : value / 2;
  }

  part(length) {
    if (this.at + length > this.bytes.length) throw new Error("a tile is cut short");
    this.at += length;
    return this.bytes.subarray(this.at - length, this.at);
  }

  u16s(count) {
    const part = this.part(2 * count);
    const values = new Uint16Array(count);
    for (let i = 0; i < count; i++) values[i] = part[2 * i] | (part[2 * i + 1] << 8);
    return values;
  }
}

function unpackDensity(bytes, count) {
  const taker = new Taker(bytes);
  const bins = new Uint32Array(count);
  let bin = 0;
  for (let i = 0; i < count; i++) bins[i] = bin += taker.varint();
  return { count, bins, classes: taker.part(count), steps: taker.part(count), size: 4 * count + bytes.length };
}

function unpackPoints(bytes, count) {
  const taker = new Taker(bytes);
  const x = taker.u16s(count);
  const y = taker.u16s(count);
  return { count, x, y, classes: taker.part(count), steps: taker.part(count), size: 4 * count + bytes.length };
}

/** Rings in 1/4 px from the tile's corner; `starts[i]` is the first vertex of cell i. */
function unpackOutlines(bytes, points) {
  const taker = new Taker(bytes);
  const count = points.count;
  const rows = new Float64Array(count);
  let row = 0;
  for (let i = 0; i < count; i++) rows[i] = row += taker.varint();
  const starts = new Uint32Array(count + 1);
  for (let i = 0; i < count; i++) starts[i + 1] = starts[i] + taker.varint();
  const x = unpackAlong(taker, starts, points.x);
  const y = unpackAlong(taker, starts, points.y);
  return { count, rows, starts, x, y, size: 12 * count + 8 * x.length };
}

function unpackAlong(taker, starts, points) {
  const values = new Int32Array(starts[starts.length - 1]);
  for (let cell = 0; cell + 1 < starts.length; cell++) {
    let at = points[cell] >> 2;
    for (let i = starts[cell]; i < starts[cell + 1]; i++) values[i] = at += taker.signed();
  }
  return values;
}

async function inflate(bytes) {
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate-raw"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

// ---- tiles at hand ----

let header = null;
let fetchFrom = null; // where stored tiles are; null: the page hands them over
const places = {}; // band -> "column,row" -> indices of its pieces
const kept = new Map(); // "band/index" -> unpacked tile, the longest unused first
const loading = new Map(); // "band/index" -> promise
const handedOver = new Map(); // "band/index" -> what takes the bytes that come
let keptBytes = 0;

function storedBytes(key) {
  if (fetchFrom === null) {
    return new Promise((take) => {
      handedOver.set(key, take);
      postMessage({ kind: "need", key });
    });
  }
  return fetch(`${fetchFrom}${key}`).then((answer) => {
    if (!answer.ok) throw new Error(`cells cannot be loaded: ${answer.status} ${answer.statusText}`);
    return answer.arrayBuffer();
  });
}

/** The tile if it is at hand, else undefined. */
function atHand(band, index) {
  const key = `${band}/${index}`;
  const tile = kept.get(key);
  if (tile) {
    kept.delete(key);
    kept.set(key, tile);
  }
  return tile;
}

async function load(band, index) {
  const key = `${band}/${index}`;
  const tile = atHand(band, index);
  if (tile) return tile;
  if (!loading.has(key)) {
    loading.set(key, loadNow(band, index, key).finally(() => loading.delete(key)));
  }
  return loading.get(key);
}

async function loadNow(band, index, key) {
  const points = band === "outlines" ? await load("points", index) : null;
  const bytes = await inflate(await storedBytes(key));
  const count = header[band][index][4];
  const tile =
    band === "density"
      ? unpackDensity(bytes, count)
      : band === "points"
        ? unpackPoints(bytes, count)
        : unpackOutlines(bytes, points);
  kept.set(key, tile);
  keptBytes += tile.size;
  for (const [oldest, gone] of kept) {
    if (keptBytes <= KEPT_BYTES) break;
    kept.delete(oldest);
    keptBytes -= gone.size;
  }
  return tile;
}

/** Indices of the tiles of a band that meet a box of level 0. */
function tilesIn(band, box) {
  const side = band === "density" ? DENSITY_SIDE : TILE_SIDE;
  const found = [];
  const [fromColumn, toColumn] = [Math.floor(box.x0 / side), Math.ceil(box.x1 / side)];
  const [fromRow, toRow] = [Math.floor(box.y0 / side), Math.ceil(box.y1 / side)];
  for (let row = Math.max(0, fromRow); row < toRow; row++) {
    for (let column = Math.max(0, fromColumn); column < toColumn; column++) {
      found.push(...(places[band].get(`${column},${row}`) ?? []));
    }
  }
  return found;
}

function grown(box, by) {
  return { x0: box.x0 - by, y0: box.y0 - by, x1: box.x1 + by, y1: box.y1 + by };
}

// ---- counting ----

/**
 * Cells by class and step in a box whose corners are whole level-0 px, upper left
 * included, lower right not. With `binned`, corners lie on bins or the slide's edge.
 */
async function count(box, binned) {
  const band = binned ? "density" : "points";
  const steps = new Uint32Array(header.classes.length * STEPS);
  const indices = tilesIn(band, box);
  const tiles = await Promise.all(indices.map((index) => load(band, index)));
  tiles.forEach((tile, i) => {
    const [column, row] = header[band][indices[i]];
    if (binned) countBins(tile, column * DENSITY_SIDE, row * DENSITY_SIDE, box, steps);
    else countPoints(tile, column * TILE_SIDE, row * TILE_SIDE, box, steps);
  });
  return steps;
}

function countPoints(tile, left, top, box, steps) {
  const parts = (value) => Math.min(Math.max(value, 0), TILE_SIDE) * 16;
  const [x0, x1] = [parts(box.x0 - left), parts(box.x1 - left)];
  const [y0, y1] = [parts(box.y0 - top), parts(box.y1 - top)];
  for (let i = 0; i < tile.count; i++) {
    if (tile.x[i] >= x0 && tile.x[i] < x1 && tile.y[i] >= y0 && tile.y[i] < y1) {
      steps[tile.classes[i] * STEPS + tile.steps[i]]++;
    }
  }
}

function countBins(tile, left, top, box, steps) {
  const first = (value) => Math.max(0, Math.floor(value / DENSITY_BIN));
  const past = (value) => Math.ceil(value / DENSITY_BIN);
  const [x0, x1] = [first(box.x0 - left), past(box.x1 - left)];
  const [y0, y1] = [first(box.y0 - top), past(box.y1 - top)];
  for (let i = 0; i < tile.count; i++) {
    const x = tile.bins[i] % BINS;
    const y = (tile.bins[i] - x) / BINS;
    if (x >= x0 && x < x1 && y >= y0 && y < y1) steps[tile.classes[i] * STEPS + tile.steps[i]]++;
  }
}

// ---- drawing ----

let style = null; // as the page says it; see styleOf in page.js
let regions = []; // as the page hands them over, each with a path
let windows = { boxes: [], failed: new Set() }; // boxes of level 0 by the plan's index
let canvas = null;

/** Level-0 px per px of a piece. Half octaves: lines stay sharp between two levels. */
function downsampleOf(level) {
  return 2 ** (level / 2);
}

/** What is needed to draw a piece. */
function needs(piece) {
  const downsample = downsampleOf(piece.level);
  const side = PIECE * downsample;
  const box = { x0: piece.column * side, y0: piece.row * side };
  box.x1 = box.x0 + side;
  box.y1 = box.y0 + side;
  const band = bandFor(downsample);
  const reach = band === "outlines" ? header.reach_px + 2 : band === "points" ? header.typical_px : 0;
  return { box, downsample, band, indices: style.cells ? tilesIn(band, grown(box, reach)) : [] };
}

function bandFor(downsample) {
  if (downsample >= DENSITY_BIN) return "density";
  return header.typical_px / downsample >= SMALLEST_OUTLINE ? "outlines" : "points";
}

async function draw(piece) {
  const { box, downsample, band, indices } = needs(piece);
  const tiles = await Promise.all(indices.map((index) => load(band, index)));
  const points = band === "outlines" ? await Promise.all(indices.map((index) => load("points", index))) : tiles;
  canvas ??= new OffscreenCanvas(PIECE, PIECE);
  const context = canvas.getContext("2d");
  context.setTransform(1, 0, 0, 1, 0, 0);
  context.clearRect(0, 0, PIECE, PIECE);
  drawUnseen(context, box, downsample);
  drawRegions(context, box, downsample);
  drawWindows(context, box, downsample);
  const parts = tiles.map((tile, i) => ({ tile, points: points[i], entry: header[band][indices[i]] }));
  if (band === "density") drawDensity(context, box, downsample, parts);
  else if (band === "points") drawPoints(context, box, downsample, parts);
  else drawOutlines(context, box, downsample, parts);
  return canvas.transferToImageBitmap();
}

function isShown(points, i) {
  return points.steps[i] >= style.step && style.classes[points.classes[i]];
}

function drawOutlines(context, box, downsample, parts) {
  const reach = header.reach_px + 2;
  const paths = style.classes.map(() => null);
  for (const { tile, points, entry } of parts) {
    const [left, top] = [entry[0] * TILE_SIDE, entry[1] * TILE_SIDE];
    const scale = 1 / (4 * downsample);
    const [dx, dy] = [(left - box.x0) / downsample, (top - box.y0) / downsample];
    const within = (value, from, to) => value >= from && value < to;
    for (let i = 0; i < tile.count; i++) {
      if (!isShown(points, i)) continue;
      const [x, y] = [left + points.x[i] / 16, top + points.y[i] / 16];
      if (!within(x, box.x0 - reach, box.x1 + reach) || !within(y, box.y0 - reach, box.y1 + reach)) continue;
      const path = (paths[points.classes[i]] ??= new Path2D());
      const [from, to] = [tile.starts[i], tile.starts[i + 1]];
      for (let v = from; v < to; v++) {
        const [px, py] = [tile.x[v] * scale + dx, tile.y[v] * scale + dy];
        if (v === from) path.moveTo(px, py);
        else path.lineTo(px, py);
      }
      path.closePath();
    }
  }
  context.lineJoin = "round";
  paths.forEach((path, index) => {
    if (path === null) return;
    const colour = style.colours[index % style.colours.length];
    if (style.fill) {
      context.globalAlpha = 0.28;
      context.fillStyle = colour;
      context.fill(path);
      context.globalAlpha = 1;
    }
    // A light rim keeps a line apart from stained tissue of its own colour.
    context.strokeStyle = "rgb(255 255 255 / 0.7)";
    context.lineWidth = 2 * style.line;
    context.stroke(path);
    context.strokeStyle = colour;
    context.lineWidth = style.line;
    context.stroke(path);
  });
}

function drawPoints(context, box, downsample, parts) {
  const radius = Math.max(1.1 * style.line * 0.7, (0.32 * header.typical_px) / downsample);
  const paths = style.classes.map(() => null);
  const round = radius >= 2;
  for (const { tile, entry } of parts) {
    const [dx, dy] = [entry[0] * TILE_SIDE - box.x0, entry[1] * TILE_SIDE - box.y0];
    for (let i = 0; i < tile.count; i++) {
      if (!isShown(tile, i)) continue;
      const x = (dx + tile.x[i] / 16) / downsample;
      const y = (dy + tile.y[i] / 16) / downsample;
      if (x < -radius || y < -radius || x > PIECE + radius || y > PIECE + radius) continue;
      const path = (paths[tile.classes[i]] ??= new Path2D());
      if (round) {
        path.moveTo(x + radius, y);
        path.arc(x, y, radius, 0, 2 * Math.PI);
      } else {
        path.rect(x - radius, y - radius, 2 * radius, 2 * radius);
      }
    }
  }
  paths.forEach((path, index) => {
    if (path === null) return;
    context.fillStyle = style.colours[index % style.colours.length];
    context.fill(path);
  });
}

/** Every px has the mean colour of its cells; the more cells, the denser. */
function drawDensity(context, box, downsample, parts) {
  const counts = new Uint16Array(PIECE * PIECE);
  const sums = new Float32Array(3 * PIECE * PIECE);
  const colours = style.classes.map((_, index) => rgbOf(style.colours[index % style.colours.length]));
  for (const { tile, entry } of parts) {
    const dx = entry[0] * DENSITY_SIDE + DENSITY_BIN / 2 - box.x0;
    const dy = entry[1] * DENSITY_SIDE + DENSITY_BIN / 2 - box.y0;
    for (let i = 0; i < tile.count; i++) {
      if (!isShown(tile, i)) continue;
      const column = tile.bins[i] % BINS;
      const x = Math.floor((column * DENSITY_BIN + dx) / downsample);
      const y = Math.floor((((tile.bins[i] - column) / BINS) * DENSITY_BIN + dy) / downsample);
      if (x < 0 || y < 0 || x >= PIECE || y >= PIECE) continue;
      const at = y * PIECE + x;
      const colour = colours[tile.classes[i]];
      counts[at]++;
      sums[3 * at] += colour[0];
      sums[3 * at + 1] += colour[1];
      sums[3 * at + 2] += colour[2];
    }
  }
  paintDensity(context, counts, sums, downsample);
}

function paintDensity(context, counts, sums, downsample) {
  // Cells of a px where they lie as close as in dense tissue.
  const dense = (downsample / (1.6 * header.typical_px)) ** 2;
  const layer = new OffscreenCanvas(PIECE, PIECE);
  const painter = layer.getContext("2d");
  const picture = painter.createImageData(PIECE, PIECE);
  for (let at = 0; at < counts.length; at++) {
    const n = counts[at];
    if (n === 0) continue;
    picture.data[4 * at] = sums[3 * at] / n;
    picture.data[4 * at + 1] = sums[3 * at + 1] / n;
    picture.data[4 * at + 2] = sums[3 * at + 2] / n;
    picture.data[4 * at + 3] = 255 * (0.2 + 0.7 * (1 - Math.exp((-1.5 * n) / dense)));
  }
  painter.putImageData(picture, 0, 0);
  context.drawImage(layer, 0, 0);
}

function rgbOf(colour) {
  const value = parseInt(colour.slice(1), 16);
  return [value >> 16, (value >> 8) & 255, value & 255];
}

function pathOf(rings) {
  const path = new Path2D();
  const bounds = { x0: Infinity, y0: Infinity, x1: -Infinity, y1: -Infinity };
  for (const ring of rings) {
    for (let i = 0; i < ring.length; i += 2) {
      if (i === 0) path.moveTo(ring[0], ring[1]);
      else path.lineTo(ring[i], ring[i + 1]);
      bounds.x0 = Math.min(bounds.x0, ring[i]);
      bounds.x1 = Math.max(bounds.x1, ring[i]);
      bounds.y0 = Math.min(bounds.y0, ring[i + 1]);
      bounds.y1 = Math.max(bounds.y1, ring[i + 1]);
    }
    path.closePath();
  }
  return { path, bounds };
}

function drawRegions(context, box, downsample) {
  const edge = 3 * downsample;
  context.setTransform(1 / downsample, 0, 0, 1 / downsample, -box.x0 / downsample, -box.y0 / downsample);
  for (const region of regions) {
    const look = style.regions[region.label];
    if (!look || meets(region.bounds, grown(box, edge)) === false) continue;
    context.globalAlpha = look.veil;
    context.fillStyle = look.colour;
    context.fill(region.path, "evenodd");
    context.globalAlpha = 1;
    context.strokeStyle = look.colour;
    context.lineWidth = 1.5 * style.line * downsample;
    context.setLineDash(look.dash.map((length) => length * style.line * downsample));
    context.stroke(region.path);
  }
  context.setLineDash([]);
  context.setTransform(1, 0, 0, 1, 0, 0);
}

/**
 * A veil over all of the slide that no window with a result saw: that there are no cells says nothing. It is drawn before all
 * else, as windows are holes in it.
 */
function drawUnseen(context, box, downsample) {
  if (!style.unseen || windows.boxes.length === 0) return;
  context.fillStyle = "rgb(70 78 92 / 0.45)";
  context.fillRect(...onPiece([0, 0, ...header.size], box, downsample));
  windows.boxes.forEach((bounds, index) => {
    if (!windows.failed.has(index)) context.clearRect(...onPiece(bounds, box, downsample));
  });
}

/** Left, top, width and height of a box of level 0, in px of a piece. */
function onPiece([x0, y0, x1, y1], box, downsample) {
  return [x0 - box.x0, y0 - box.y0, x1 - x0, y1 - y0].map((value) => value / downsample);
}

function drawWindows(context, box, downsample) {
  if (!style.windows && !style.failed) return;
  windows.boxes.forEach((bounds, index) => {
    const [x0, y0, x1, y1] = bounds;
    const failed = windows.failed.has(index);
    if (!(style.windows || (style.failed && failed)) || !meets({ x0, y0, x1, y1 }, grown(box, 4 * downsample))) return;
    const at = onPiece(bounds, box, downsample);
    if (failed && style.failed) {
      context.fillStyle = "rgb(179 38 30 / 0.3)";
      context.fillRect(...at);
    }
    context.strokeStyle = failed ? "#b3261e" : "rgb(60 80 140 / 0.85)";
    context.lineWidth = (failed ? 1.6 : 0.8) * style.line;
    context.strokeRect(...at);
  });
}

function meets(a, b) {
  return a.x0 < b.x1 && b.x0 < a.x1 && a.y0 < b.y1 && b.y0 < a.y1;
}

// ---- finding ----

/** The smallest shown cell around a point, or else the nearest within `near` px. */
async function pick(x, y, near) {
  const reach = Math.max(header.reach_px + 2, near);
  const indices = tilesIn("outlines", grown({ x0: x, y0: y, x1: x, y1: y }, reach));
  let best = null;
  for (const index of indices) {
    const [tile, points] = await Promise.all([load("outlines", index), load("points", index)]);
    const [left, top] = [header.outlines[index][0] * TILE_SIDE, header.outlines[index][1] * TILE_SIDE];
    for (let i = 0; i < tile.count; i++) {
      if (!isShown(points, i)) continue;
      const [cx, cy] = [left + points.x[i] / 16, top + points.y[i] / 16];
      const distance = Math.hypot(cx - x, cy - y);
      if (distance > reach) continue;
      const around = surrounds(tile, i, 4 * (x - left), 4 * (y - top));
      const rank = around ? areaOf(tile, i) : distance <= near ? 1e12 + distance : Infinity;
      if (rank < (best?.rank ?? Infinity)) best = { rank, tile, points, i, left, top };
    }
  }
  return best && found(best);
}

function found({ tile, points, i, left, top }) {
  const ring = [];
  for (let v = tile.starts[i]; v < tile.starts[i + 1]; v++) ring.push([left + tile.x[v] / 4, top + tile.y[v] / 4]);
  return {
    row: tile.rows[i],
    class: points.classes[i],
    step: points.steps[i],
    x: left + points.x[i] / 16,
    y: top + points.y[i] / 16,
    area: areaOf(tile, i) / 16,
    ring,
  };
}

function surrounds(tile, i, x, y) {
  let inside = false;
  const [from, to] = [tile.starts[i], tile.starts[i + 1]];
  for (let v = from, w = to - 1; v < to; w = v++) {
    const crosses = tile.y[v] > y !== tile.y[w] > y;
    if (crosses && x < ((tile.x[w] - tile.x[v]) * (y - tile.y[v])) / (tile.y[w] - tile.y[v]) + tile.x[v]) {
      inside = !inside;
    }
  }
  return inside;
}

/** In 1/16 px². */
function areaOf(tile, i) {
  let twice = 0;
  const [from, to] = [tile.starts[i], tile.starts[i + 1]];
  for (let v = from, w = to - 1; v < to; w = v++) twice += tile.x[w] * tile.y[v] - tile.x[v] * tile.y[w];
  return Math.abs(twice) / 2;
}

// ---- talking to the page ----

let wanted = []; // pieces that the page lacks, the most urgent first
let drawing = false;

/** Draws what is wanted, piece by piece, so that newer wishes come first. */
async function drawWanted() {
  if (drawing) return;
  drawing = true;
  while (wanted.length > 0) {
    // What needs no loading comes first; the rest is on its way meanwhile.
    const ready = wanted.findIndex((piece) => {
      const { band, indices } = needs(piece);
      return indices.every((index) => kept.has(`${band}/${index}`) || loadAhead(band, index));
    });
    const [piece] = wanted.splice(Math.max(ready, 0), 1);
    const version = style.version;
    try {
      const bitmap = await draw(piece);
      postMessage({ kind: "piece", key: piece.key, version, bitmap }, [bitmap]);
    } catch (error) {
      postMessage({ kind: "failed", message: error.message });
    }
    await new Promise((goOn) => setTimeout(goOn));
  }
  drawing = false;
}

/** Starts loading; false, for it is not at hand yet. */
function loadAhead(band, index) {
  load(band, index).catch(() => {});
  return false;
}

const answers = {
  open(message) {
    ({ header, fetchFrom } = message);
    for (const band of ["density", "points", "outlines"]) {
      places[band] = new Map();
      header[band].forEach(([column, row], index) => {
        const key = `${column},${row}`;
        if (!places[band].has(key)) places[band].set(key, []);
        places[band].get(key).push(index);
      });
    }
  },
  style(message) {
    style = message.style;
  },
  regions(message) {
    regions = message.regions.map((region) => ({ label: region.label, ...pathOf(region.rings) }));
  },
  windows(message) {
    windows = { boxes: message.boxes, failed: new Set(message.failed) };
  },
  want(message) {
    wanted = message.pieces;
    drawWanted();
  },
  bytes(message) {
    handedOver.get(message.key)?.(message.bytes);
    handedOver.delete(message.key);
  },
  async count(message) {
    const steps = await count(message.box, message.binned);
    postMessage({ kind: "counted", serial: message.serial, steps });
  },
  async pick(message) {
    postMessage({ kind: "picked", serial: message.serial, cell: await pick(message.x, message.y, message.near) });
  },
};

self.onmessage = async (event) => {
  try {
    await answers[event.data.kind](event.data);
  } catch (error) {
    postMessage({ kind: "failed", message: error.message });
  }
};

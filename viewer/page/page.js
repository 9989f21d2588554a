// The page: slide, overlay, counts and controls. What holds cells runs beside it, in
// cells.js; this thread only puts finished pieces of the overlay in place.
"use strict";

const PIECE = 512; // px along a piece of the overlay
const MOST_PIECES = 90; // pieces that are kept
const STEPS = 101; // score steps, 0 to 100
const DENSITY_BIN = 32; // level-0 px along a bin of densities
const TISSUE = "tissue";


const $ = (id) => document.getElementById(id);
const here = { view: null, header: null, regions: [], windows: null, viewer: null };
const shown = { classes: [], step: 0, cells: true, fill: true, windows: false, unseen: false, failed: true, regions: {}, version: 0 };

// ---- where data comes from ----

/** A page opened from a disk has its data beside it, as scripts; see export.rs. */
const exported = window.slidemillExport ?? null;

async function json(path) {
  if (exported) return exported.files[path];
  const answer = await fetch(path);
  if (!answer.ok) throw new Error((await answer.text()).trim() || answer.statusText);
  return answer.json();
}

// ---- numbers in words ----

const grouped = (value) => value.toLocaleString("en-US");

function digits(value, places) {
  return value.toLocaleString("en-US", { maximumFractionDigits: places });
}

function lengthText(um) {
  return um >= 1000 ? `${digits(um / 1000, 3)} mm` : `${digits(um, 2)} µm`;
}

// ---- the slide ----

/** Levels as stored and as made between them, the coarsest first as OpenSeadragon has it. */
function tileSource(view) {
  const levels = [...view.levels].reverse();
  const [width, height] = view.size;
  const source = new OpenSeadragon.TileSource({
    width,
    height,
    tileWidth: levels[0].tile_width,
    tileHeight: levels[0].tile_height,
    minLevel: 0,
    maxLevel: levels.length - 1,
  });
  source.getLevelScale = (level) => levels[level].width / width;
  source.getTileWidth = (level) => levels[level].tile_width;
  source.getTileHeight = (level) => levels[level].tile_height;
  source.getNumTiles = (level) => {
    const { width, height, tile_width, tile_height } = levels[level];
    return new OpenSeadragon.Point(Math.ceil(width / tile_width), Math.ceil(height / tile_height));
  };
  source.getTileUrl = (level, x, y) => `slide/${view.id}/pixels/${levels.length - 1 - level}/${x}_${y}.jpg`;
  return source;
}

function openViewer() {
  const viewer = OpenSeadragon({
    id: "slide",
    // Not WebGL: it is slower where there is no graphics card, and blank from a disk.
    drawer: ["canvas"],
    navigatorDrawer: ["canvas"],
    showNavigationControl: false,
    showNavigator: true,
    navigatorPosition: "BOTTOM_RIGHT",
    navigatorSizeRatio: 0.16,
    navigatorAutoFade: false,
    autoHideControls: false,
    maxZoomPixelRatio: 8,
    visibilityRatio: 0.4,
    animationTime: 0.5,
    gestureSettingsMouse: { clickToZoom: false, dblClickToZoom: true },
    gestureSettingsTouch: { clickToZoom: false, dblClickToZoom: true, pinchRotate: false },
    gestureSettingsPen: { clickToZoom: false },
    imageLoaderLimit: 6,
    maxImageCacheCount: 600,
    crossOriginPolicy: false,
  });
  viewer.innerTracker.keyDownHandler = null;
  viewer.innerTracker.keyHandler = null;
  return viewer;
}

/** What of level 0 is seen: corner, level-0 px per CSS px, and size in CSS px. */
function seen() {
  const bounds = here.viewer.viewport.getBounds(true);
  const container = here.viewer.viewport.getContainerSize();
  const width = here.view.size[0];
  return {
    x: bounds.x * width,
    y: bounds.y * width,
    downsample: (bounds.width * width) / container.x,
    width: container.x,
    height: container.y,
  };
}

// ---- the overlay ----

const pieces = new Map(); // "level/column/row" -> {bitmap, version, level, column, row}, the longest unused first
const worker = { port: null, serial: 0, waiting: new Map() };
let overlay = null;
let asked = ""; // what was last wanted
let lackingPieces = 0; // how many of those are on their way
let mostDraws = 0; // pieces put in place in one frame, at most
let highlighted = null;

const downsampleOf = (level) => 2 ** (level / 2);

function styleOf() {
  return {
    version: shown.version,
    cells: shown.cells,
    fill: shown.fill,
    step: shown.step,
    classes: shown.classes,
    colours: here.view.colours.classes,
    line: 1.4 * window.devicePixelRatio,
    regions: regionLooks(),
    windows: shown.windows,
    unseen: shown.unseen,
    failed: shown.failed,
  };
}

function regionLooks() {
  const looks = {};
  Object.entries(shown.regions).forEach(([label, on]) => {
    if (on) looks[label] = lookOf(label);
  });
  return looks;
}

function lookOf(label) {
  const { colour } = here.regions.find((region) => region.label === label);
  return label === TISSUE ? { colour, veil: 0.04, dash: [5, 3] } : { colour, veil: 0.22, dash: [] };
}

/** Another style: pieces stay in place until their successors come. */
function restyle() {
  shown.version++;
  asked = "";
  worker.port.postMessage({ kind: "style", style: styleOf() });
  redraw();
}

let frame = 0;
function redraw() {
  frame ||= requestAnimationFrame(() => {
    frame = 0;
    drawOverlay();
  });
}

function visiblePieces(view, level) {
  const side = PIECE * downsampleOf(level);
  const [width, height] = here.view.size;
  const x1 = Math.min(view.x + view.width * view.downsample, width);
  const y1 = Math.min(view.y + view.height * view.downsample, height);
  const visible = [];
  for (let row = Math.max(0, Math.floor(view.y / side)); row * side < y1; row++) {
    for (let column = Math.max(0, Math.floor(view.x / side)); column * side < x1; column++) {
      visible.push({ key: `${level}/${column}/${row}`, level, column, row });
    }
  }
  return visible;
}

function drawOverlay() {
  if (!here.header || !overlay) return;
  const view = seen();
  const ratio = window.devicePixelRatio;
  const [width, height] = [Math.round(view.width * ratio), Math.round(view.height * ratio)];
  if (overlay.width !== width || overlay.height !== height) {
    [overlay.width, overlay.height] = [width, height];
    [overlay.style.width, overlay.style.height] = [`${view.width}px`, `${view.height}px`];
  }
  const context = overlay.getContext("2d");
  context.setTransform(1, 0, 0, 1, 0, 0);
  context.clearRect(0, 0, width, height);
  const level = Math.floor(2 * Math.log2(view.downsample / ratio));
  const visible = visiblePieces(view, level);
  const scale = ratio / view.downsample;
  const lacking = [];
  let draws = 0;
  for (const place of visible) {
    const piece = pieces.get(place.key);
    if (piece) use(place.key, piece);
    if (!piece || piece.version !== shown.version) lacking.push(place);
    if (piece) draws += putPiece(context, view, scale, piece);
    else draws += putOthers(context, view, scale, place);
  }
  mostDraws = Math.max(mostDraws, draws);
  lackingPieces = lacking.length;
  drawHighlight(context, view, scale);
  drawShapes(context, view, scale);
  want(view, lacking);
}

function boxOf({ level, column, row }) {
  const side = PIECE * downsampleOf(level);
  return { x: column * side, y: row * side, side };
}

function use(key, piece) {
  pieces.delete(key);
  pieces.set(key, piece);
}

/** Whole device px, so that neighbours meet without a seam. */
function putPiece(context, view, scale, piece) {
  const { x, y, side } = boxOf(piece);
  const [left, right] = [x, x + side].map((value) => Math.round((value - view.x) * scale));
  const [top, bottom] = [y, y + side].map((value) => Math.round((value - view.y) * scale));
  context.drawImage(piece.bitmap, left, top, right - left, bottom - top);
  return 1;
}

/** Pieces of the nearest other level, in the place of one that is on its way. */
function putOthers(context, view, scale, place) {
  const { x, y, side } = boxOf(place);
  for (const level of [1, 2, 3, -1, 4, -2, 5, 6, 7, 8].map((by) => place.level + by)) {
    const other = PIECE * downsampleOf(level);
    const found = [];
    for (let row = Math.floor(y / other); row * other < y + side; row++) {
      for (let column = Math.floor(x / other); column * other < x + side; column++) {
        found.push(pieces.get(`${level}/${column}/${row}`));
      }
    }
    if (found.length > 9 || found.some((piece) => !piece)) continue;
    context.save();
    context.beginPath();
    context.rect((x - view.x) * scale, (y - view.y) * scale, side * scale, side * scale);
    context.clip();
    found.forEach((piece) => putPiece(context, view, scale, piece));
    context.restore();
    return found.length;
  }
  return 0;
}

/** The cell that was clicked: the windows that saw it, what they saw, and itself. */
function drawHighlight(context, view, scale) {
  if (!highlighted) return;
  const line = window.devicePixelRatio;
  for (const box of highlighted.windows ?? []) strokeRing(context, view, scale, cornersOf(box), [["#111", 1.2 * line]], [9 * line, 5 * line]);
  for (const { ring } of highlighted.raw ?? []) strokeRing(context, view, scale, ring, [["#fff", 3 * line], ["#111", 1.3 * line]], [4 * line, 3 * line]);
  strokeRing(context, view, scale, highlighted.ring, [["#fff", 6 * line], ["#111", 3 * line]], []);
}

function cornersOf([x0, y0, x1, y1]) {
  return [[x0, y0], [x1, y0], [x1, y1], [x0, y1]];
}

/** A ring of level 0, in these colours and widths, one over the other. */
function strokeRing(context, view, scale, ring, lines, dash) {
  context.beginPath();
  ring.forEach(([x, y], i) => {
    const [px, py] = [(x - view.x) * scale, (y - view.y) * scale];
    if (i === 0) context.moveTo(px, py);
    else context.lineTo(px, py);
  });
  context.closePath();
  for (const [colour, wide] of lines) {
    context.setLineDash(colour === "#fff" ? [] : dash);
    context.strokeStyle = colour;
    context.lineWidth = wide;
    context.stroke();
  }
  context.setLineDash([]);
}

/** Asks for what is not there, from the middle of the view outward. */
function want(view, lacking) {
  const names = lacking.map((place) => place.key).join(" ") + `@${shown.version}`;
  if (names === asked) return;
  asked = names;
  const [x, y] = [view.x + (view.width * view.downsample) / 2, view.y + (view.height * view.downsample) / 2];
  const away = (place) => {
    const box = boxOf(place);
    return Math.hypot(box.x + box.side / 2 - x, box.y + box.side / 2 - y);
  };
  lacking.sort((a, b) => away(a) - away(b));
  worker.port.postMessage({ kind: "want", pieces: lacking });
}

function keepPiece({ key, version, bitmap }) {
  const [level, column, row] = key.split("/").map(Number);
  pieces.get(key)?.bitmap.close();
  pieces.delete(key);
  pieces.set(key, { bitmap, version, level, column, row });
  for (const [oldest, piece] of pieces) {
    if (pieces.size <= MOST_PIECES) break;
    piece.bitmap.close();
    pieces.delete(oldest);
  }
  redraw();
}

// ---- the worker ----

function startWorker() {
  const script = exported ? URL.createObjectURL(new Blob([exported.worker])) : "cells.js";
  worker.port = new Worker(script);
  worker.port.onmessage = ({ data }) => heard[data.kind](data);
  worker.port.onerror = (event) => notice(`The overlay stopped: ${event.message}`);
}

const heard = {
  piece: keepPiece,
  counted: (message) => settle(message.serial, message.steps),
  picked: (message) => settle(message.serial, message.cell),
  failed: (message) => notice(message.message),
  need: (message) => handOver(message.key),
};

/** A question to the worker; a newer one of its kind makes it void. */
function ask(message) {
  const serial = ++worker.serial;
  worker.waiting.forEach((question, old) => {
    if (question.kind === message.kind) worker.waiting.delete(old);
  });
  return new Promise((take) => {
    worker.waiting.set(serial, { kind: message.kind, take });
    worker.port.postMessage({ ...message, serial });
  });
}

function settle(serial, answer) {
  worker.waiting.get(serial)?.take(answer);
  worker.waiting.delete(serial);
}

/** Of a page on a disk: loads a script that hands over the bytes of a tile. */
function handOver(key) {
  const script = document.createElement("script");
  window.slidemillTile = window.slidemillTile ?? ((name, text) => {
    const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
    worker.port.postMessage({ kind: "bytes", key: name, bytes: bytes.buffer }, [bytes.buffer]);
  });
  script.src = `slide/${here.view.id}/tiles/${key}.js`;
  script.onerror = () => notice(`A part of the cells is missing: ${script.src}`);
  script.onload = () => script.remove();
  document.head.append(script);
}

// ---- counts ----

let counted = null; // {box, steps} of the last count
let countTimer = 0;
let countedView = "";

/**
 * The view cut at the slide and widened to whole level-0 px, or to bins where a px of
 * the screen is at least as wide as one: what is counted is exactly what lies in it.
 */
function countBox(view) {
  const binned = view.downsample >= DENSITY_BIN;
  const step = binned ? DENSITY_BIN : 1;
  const cut = (value, most) => Math.min(Math.max(value, 0), most);
  const [width, height] = here.view.size;
  const box = {
    x0: cut(Math.floor(view.x / step) * step, width),
    y0: cut(Math.floor(view.y / step) * step, height),
    x1: cut(Math.ceil((view.x + view.width * view.downsample) / step) * step, width),
    y1: cut(Math.ceil((view.y + view.height * view.downsample) / step) * step, height),
  };
  return { box, binned };
}

function countSoon() {
  countTimer ||= setTimeout(() => {
    countTimer = 0;
    countNow();
  }, 80);
}

async function countNow() {
  if (!here.header) return;
  const { box, binned } = countBox(seen());
  const name = JSON.stringify([box, binned]);
  if (name === countedView) return;
  countedView = name;
  $("total").classList.add("late");
  const steps = await ask({ kind: "count", box, binned });
  counted = { box, steps };
  times.cells ??= performance.now();
  $("total").classList.remove("late");
  showCounts();
}

/** Cells of each class at or above the threshold. */
function atLeast(steps, step) {
  return here.header.classes.map((_, index) => {
    let sum = 0;
    for (let s = step; s < STEPS; s++) sum += steps(index, s);
    return sum;
  });
}

function showCounts() {
  const whole = atLeast((index, s) => here.header.classes[index].steps[s], shown.step);
  const inView = counted ? atLeast((index, s) => counted.steps[index * STEPS + s], shown.step) : null;
  here.header.classes.forEach((_, index) => {
    const row = $("classes").tBodies[0].rows[index];
    row.cells[1].textContent = inView ? grouped(inView[index]) : "…";
    row.cells[2].textContent = grouped(whole[index]);
  });
  if (!counted) return;
  const total = inView.reduce((sum, n, index) => sum + (shown.classes[index] ? n : 0), 0);
  const { x0, y0, x1, y1 } = counted.box;
  const mm2 = ((x1 - x0) * (y1 - y0) * here.view.mpp ** 2) / 1e6;
  $("count").textContent = grouped(total);
  $("tally").textContent = `${grouped(total)} cells in view, score at least ${(shown.step / 100).toFixed(2)}`;
  $("density").textContent = `cells in ${digits(mm2, mm2 < 1 ? 4 : 2)} mm²`;
  $("box").textContent = `Counted: centroids from x ${grouped(x0)} to below ${grouped(x1)}, y ${grouped(y0)} to below ${grouped(y1)} px of level 0.`;
}

// ---- the panel ----

function fillPanel() {
  const { view, header } = here;
  $("name").textContent = view.name ?? view.id;
  const [width, height] = view.size;
  const outside = header?.outside ? ` ${grouped(header.outside)} cells have their centroid outside of the slide and are not shown.` : "";
  const { preliminary } = view.facts;
  $("preliminary").hidden = !preliminary;
  if (preliminary) {
    const { ended, planned } = preliminary;
    $("preliminary").textContent = `Preliminary: ${grouped(ended)} of ${grouped(planned)} windows are analysed. Counts will change.`;
  }
  $("about").textContent =
    (view.name ? `${view.id} · ` : "") +
    `${grouped(width)} × ${grouped(height)} px at ${digits(view.mpp, 4)} µm/px.${view.facts.ending ? ` ${view.facts.ending}` : ""}${outside}`;
}

function fillClasses() {
  const body = $("classes").tBodies[0];
  const colours = here.view.colours.classes;
  body.replaceChildren();
  here.header.classes.forEach((kind, index) => {
    const row = body.insertRow();
    row.insertCell().append(check(kind.name, colours[index % colours.length], "", shown.classes[index], (on) => {
      shown.classes[index] = on;
      showScores();
      showCounts();
      restyle();
    }));
    row.insertCell().className = "number";
    row.insertCell().className = "number";
  });
}

/** A checkbox with a patch of colour and a name. */
function check(name, colour, look, on, change) {
  const label = document.createElement("label");
  label.className = "check";
  const input = document.createElement("input");
  input.type = "checkbox";
  input.checked = on;
  input.onchange = () => change(input.checked);
  label.append(input);
  if (colour) {
    const swatch = document.createElement("span");
    swatch.className = `swatch ${look}`;
    swatch.style[look ? "borderColor" : "background"] = colour;
    label.append(swatch);
  }
  label.append(name);
  return label;
}

function fillLayers() {
  const labels = [...new Set(here.regions.map((region) => region.label))].sort();
  // Tissue is nearly everywhere: its border is for those who ask.
  shown.regions = Object.fromEntries(labels.map((label) => [label, shown.regions[label] ?? label !== TISSUE]));
  const layers = [
    check("Cells", null, "", shown.cells, (on) => setLayer("cells", on)),
    check("Fill cells", null, "", shown.fill, (on) => setLayer("fill", on)),
    ...windowLayers(),
    ...labels.map((label) => {
      const of = here.regions.filter((region) => region.label === label);
      const mm2 = of.reduce((sum, region) => sum + region.area_um2, 0) / 1e6;
      const name = `${label === TISSUE ? "Tissue" : `Regions: ${label}`} (${grouped(of.length)}, ${digits(mm2, 2)} mm²)`;
      const look = lookOf(label);
      return check(name, look.colour, label === TISSUE ? "line dashed" : "line", shown.regions[label], (on) => {
        shown.regions[label] = on;
        restyle();
      });
    }),
  ];
  $("layers").replaceChildren(...layers);
}

function windowLayers() {
  const { planned = 0, failed = 0 } = here.view.facts.windows ?? {};
  if (exported || planned === 0) return [];
  const all = check(`Windows (${grouped(planned)}), their seams`, "#6b7fb0", "line", shown.windows, (on) => setWindowLayer("windows", on));
  // Of a slide at work, windows to come are not told from those that have ended.
  const unseen = here.view.facts.preliminary ? [] : [check("Veil what was not analysed", "#464e5c", "", shown.unseen, (on) => setWindowLayer("unseen", on))];
  const lost = check(`Failed windows (${grouped(failed)})`, "#b3261e", "line", shown.failed, (on) => setLayer("failed", on));
  return failed > 0 ? [all, ...unseen, lost] : [all, ...unseen];
}

async function setWindowLayer(name, on) {
  if (on) await loadWindows();
  setLayer(name, on);
}

/** Where the plan's windows lie; the plan is made again for it, once. */
function loadWindows() {
  here.windows ??= json(`slide/${here.view.id}/windows.json`)
    .catch((error) => {
      notice(`Windows cannot be shown: ${error.message}`);
      return { boxes: [], failed: [] };
    })
    .then((windows) => {
      worker.port.postMessage({ kind: "windows", ...windows });
      return windows;
    });
  return here.windows;
}

function setLayer(name, on) {
  shown[name] = on;
  fillLayers();
  restyle();
}

/** How many cells of the shown classes have each score, over the whole slide. */
function showScores() {
  const sums = new Array(STEPS).fill(0);
  here.header.classes.forEach((kind, index) => {
    if (shown.classes[index]) kind.steps.forEach((n, step) => (sums[step] += n));
  });
  const most = Math.max(1, ...sums);
  const bars = sums.map((n, step) => {
    const bar = document.createElementNS("http://www.w3.org/2000/svg", "rect");
    const height = n === 0 ? 0 : Math.max(0.6, (24 * n) / most);
    Object.entries({ x: step, y: 24 - height, width: 0.9, height }).forEach(([key, value]) => bar.setAttribute(key, value));
    bar.classList.toggle("below", step < shown.step);
    return bar;
  });
  $("scores").replaceChildren(...bars);
  $("score").value = shown.step;
  $("scoretext").textContent = (shown.step / 100).toFixed(2);
}

function setStep(step) {
  shown.step = Math.min(Math.max(step, 0), STEPS - 1);
  showScores();
  showCounts();
  restyle();
  tellView();
}

function notice(text) {
  $("notice").textContent = text;
  $("notice").hidden = !text;
}

// ---- one cell ----

async function pickAt(point) {
  const view = seen();
  const [x, y] = [view.x + point.x * view.downsample, view.y + point.y * view.downsample];
  if (drawAt([x, y], view.downsample)) return;
  if (!here.header || !shown.cells || view.downsample >= DENSITY_BIN) return;
  const cell = await ask({ kind: "pick", x, y, near: 8 * view.downsample });
  highlighted = cell;
  redraw();
  if (!cell || exported) return showFacts(cell ? [["", exportedFacts(cell)]] : []);
  try {
    const row = await json(rowPath("cell", cell));
    showFacts(rowFacts(row));
    await tellLineage(cell, row);
  } catch (error) {
    notice(`The cell cannot be told: ${error.message}`);
  }
}

/** A row is one of the table that is shown, whose hash is part of the address. */
function rowPath(what, cell) {
  return `slide/${here.view.id}/${what}/${here.header.table.sha256}/${cell.row}.json`;
}

/** Why it is one cell: the windows that saw it, and what each saw where that was kept. */
async function tellLineage(cell, row) {
  const { boxes } = await loadWindows();
  if (highlighted !== cell || boxes.length === 0) return;
  cell.windows = row.windows.map((index) => boxes[index]);
  redraw();
  if (!here.view.facts.raw_kept || row.detector_scores) return;
  const raw = await json(rowPath("raw", cell));
  if (highlighted !== cell) return;
  cell.raw = raw;
  showFacts([...rowFacts(row), ["Before merging", raw.map(rawFact)]]);
  redraw();
}

function rawFact({ window, class: id, score }) {
  return [`window ${window}`, `${className(id)}, score ${digits(score, 3)}`];
}

/** Shows facts in groups, each with its heading; groups without facts are left out. */
function showFacts(groups) {
  $("nocell").hidden = groups.length > 0;
  $("facts").replaceChildren(...groups.filter(([, facts]) => facts.length > 0).flatMap(([heading, facts]) => {
    const list = document.createElement("dl");
    list.append(...facts.flatMap(([name, value]) => [withText("dt", name), withText("dd", value)]));
    return heading ? [withText("h3", heading), list] : [list];
  }));
}

function withText(kind, text) {
  const element = document.createElement(kind);
  element.textContent = text;
  return element;
}

/** What a tile tells of a cell. */
function exportedFacts(cell) {
  const um = here.view.mpp;
  return [
    ["class", here.header.classes[cell.class].name],
    ["score", `at least ${(cell.step / 100).toFixed(2)}`],
    ["centroid", `${digits(cell.x, 1)}, ${digits(cell.y, 1)} px`],
    ["area of shape", `${digits(cell.area * um * um, 1)} µm²`],
    ["row", grouped(cell.row)],
  ];
}

const EDGES = [
  [1, "the slide ends there"],
  [2, "no window was planned beyond"],
  [4, "the windows beyond failed"],
  [8, "no window saw it whole"],
  [16, "put together from pieces"],
];

/** Columns that are measures, in groups: the column, words for it, its unit, digits behind the point. */
const MEASURES = {
  Shape: [
    ["area_um2", "area", "µm²", 1],
    ["perimeter_um", "perimeter", "µm", 1],
    ["circularity", "circularity", "", 2],
    ["solidity", "solidity", "", 2],
    ["eccentricity", "eccentricity", "", 2],
    ["max_diam_um", "largest diameter", "µm", 1],
    ["min_diam_um", "least width", "µm", 1],
    ["nucleus_orientation_deg", "long axis", "°", 0],
    ["elongation", "elongation", "", 2],
  ],
  Stains: [
    ["hematoxylin_od", "hematoxylin", "OD", 2],
    ["eosin_od", "eosin", "OD", 2],
    ["dab_od", "DAB", "OD", 2],
    ["dab_ring_od", "DAB around", "OD", 2],
  ],
  Texture: [
    ["glcm_contrast", "contrast", "", 2],
    ["glcm_homogeneity", "homogeneity", "", 2],
    ["glcm_entropy", "entropy", "nats", 2],
    ["glcm_correlation", "correlation", "", 2],
    ["hematoxylin_od_sd", "hematoxylin, SD", "OD", 2],
    ["hematoxylin_od_p10", "hematoxylin, 10 %", "OD", 2],
    ["hematoxylin_od_p90", "hematoxylin, 90 %", "OD", 2],
    ["eosin_od_sd", "eosin, SD", "OD", 2],
    ["eosin_od_p10", "eosin, 10 %", "OD", 2],
    ["eosin_od_p90", "eosin, 90 %", "OD", 2],
  ],
  Neighbours: [
    ["nn1_um", "nearest", "µm", 1],
    ["nn5_um", "fifth nearest", "µm", 1],
    ["n_50um", "cells in 50 µm", "", 0],
    ["local_density_mm2", "density", "per mm²", 0],
    ["delaunay_degree", "Delaunay sides", "", 0],
    ["delaunay_mean_um", "their mean", "µm", 1],
    ["clustering_entropy", "class entropy", "nats", 2],
  ],
};

/** Columns that are told in words of their own, or say again what another one does. */
const IN_WORDS = [
  "cell_id", "slide_id", "class_id", "class_name", "score", "x_px", "y_px", "x_um", "y_um", "width_um", "height_um", "bbox",
  "n_merged", "seam_dist_um", "edge_flag", "windows", "score_min", "score_max", "runner_up_class", "runner_up_score",
  "region_id", "distance_um", "detector_scores", "n_by_class_50um",
];

const isKnown = (value) => value !== null && value !== undefined;
const className = (id) => here.header.classes[id]?.name ?? `class_${id}`;

/** Everything that a row tells, in groups; what was not measured is left out. */
function rowFacts(row) {
  const measured = (column, name, unit, places) =>
    isKnown(row[column]) ? [[name, `${digits(row[column], places)}${unit && unit !== "°" ? " " : ""}${unit}`]] : [];
  const groups = Object.entries(MEASURES).map(([heading, columns]) => [heading, columns.flatMap((of) => measured(...of))]);
  groups.find(([heading]) => heading === "Neighbours")[1].push(...nearByClass(row));
  return [["", placeFacts(row)], ...groups, ["Origin", originFacts(row)], ["Further columns", furtherFacts(row)]];
}

function placeFacts(row) {
  const { distance_um: distance, region_id: region } = row;
  return [
    ["class", row.class_name],
    ["score", digits(row.score, 3)],
    ["centroid", `${digits(row.x_px, 1)}, ${digits(row.y_px, 1)} px`],
    ["box", `${digits(row.width_um, 1)} × ${digits(row.height_um, 1)} µm`],
    ...(isKnown(distance) ? [["to ROI border", `${digits(Math.abs(distance), 1)} µm ${distance < 0 ? "inside" : "outside"}`]] : []),
    ...(isKnown(region) ? [["region", String(region)]] : []),
    ["id", String(row.cell_id)],
  ];
}

function nearByClass(row) {
  return (row.n_by_class_50um ?? []).map((count, id) => [`${className(id)} there`, grouped(count)]);
}

/** The detections that it was made of, and why they are one cell. */
function originFacts(row) {
  const { seam_dist_um: seam, detector_scores: scores, runner_up_class: other } = row;
  const edges = EDGES.filter(([bit]) => row.edge_flag & bit).map(([, words]) => words);
  return [
    ["made of", `${grouped(row.n_merged)} ${row.n_merged === 1 ? "detection" : "detections"}` +
      (row.n_merged > 1 ? `, scores ${digits(row.score_min, 3)} to ${digits(row.score_max, 3)}` : "")],
    ["seen by", `${row.windows.length === 1 ? "window" : "windows"} ${row.windows.join(", ")}`],
    ...(isKnown(scores) ? [["detectors", scores.map((score) => (score === null ? "–" : digits(score, 3))).join(", ")]] : []),
    ...(isKnown(other) ? [["could be", `${className(other)} (${digits(row.runner_up_score, 3)})`]] : []),
    ...(here.view.facts.rule ? [["joined by", here.view.facts.rule]] : []),
    ...(isKnown(seam) ? [["seam", `${digits(seam, 1)} µm away`]] : []),
    ...(edges.length ? [["edge", edges.join("; ")]] : []),
  ];
}

/** Columns of tables that are newer than this page, as they are. */
function furtherFacts(row) {
  const known = new Set([...IN_WORDS, ...Object.values(MEASURES).flat().map(([column]) => column)]);
  return Object.entries(row).filter(([column, value]) => isKnown(value) && !known.has(column))
    .map(([column, value]) => [column, typeof value === "number" ? digits(value, 4) : JSON.stringify(value)]);
}

// ---- scale, place, link, picture ----

function scaleFor(view) {
  const most = 160 * view.downsample * here.view.mpp; // µm
  const power = 10 ** Math.floor(Math.log10(most));
  const um = [5, 2, 1].map((digit) => digit * power).find((length) => length <= most);
  return { um, px: um / here.view.mpp / view.downsample };
}

function showScale() {
  const { um, px } = scaleFor(seen());
  $("scalebar").hidden = false;
  $("scaletext").textContent = lengthText(um);
  $("scaleline").style.width = `${px}px`;
}

function showPlace(point) {
  const view = seen();
  const [x, y] = [view.x + point.x * view.downsample, view.y + point.y * view.downsample];
  const [width, height] = here.view.size;
  const inside = x >= 0 && y >= 0 && x < width && y < height;
  $("place").textContent = inside ? `x ${Math.floor(x)}  y ${Math.floor(y)} px` : "";
}

function linkParts() {
  const view = seen();
  const parts = new URLSearchParams();
  parts.set("slide", here.view.id);
  parts.set("x", Math.round(view.x + (view.width * view.downsample) / 2));
  parts.set("y", Math.round(view.y + (view.height * view.downsample) / 2));
  parts.set("downsample", Number(view.downsample.toPrecision(4)));
  if (shown.step) parts.set("score", (shown.step / 100).toFixed(2));
  return parts;
}

let linkTimer = 0;
function keepLink() {
  clearTimeout(linkTimer);
  linkTimer = setTimeout(() => history.replaceState(null, "", `#${linkParts()}`), 300);
}

/** Shows what a link names; false when it names no place. */
function goTo(parts, immediately) {
  const [x, y, downsample] = ["x", "y", "downsample"].map((name) => Number(parts.get(name) ?? NaN));
  if (![x, y].every(Number.isFinite) || !(downsample > 0)) return false;
  const width = here.view.size[0];
  const container = here.viewer.viewport.getContainerSize();
  const [w, h] = [(container.x * downsample) / width, (container.y * downsample) / width];
  here.viewer.viewport.fitBounds(new OpenSeadragon.Rect(x / width - w / 2, y / width - h / 2, w, h), immediately);
  return true;
}

async function copyLink() {
  history.replaceState(null, "", `#${linkParts()}`);
  try {
    await navigator.clipboard.writeText(location.href);
    flash("link", "Copied");
  } catch {
    flash("link", "See address");
  }
}

function flash(id, text) {
  const before = $(id).textContent;
  $(id).textContent = text;
  setTimeout(() => ($(id).textContent = before), 1200);
}

function savePicture() {
  const view = seen();
  const ratio = window.devicePixelRatio;
  const picture = document.createElement("canvas");
  [picture.width, picture.height] = [overlay.width, overlay.height];
  const context = picture.getContext("2d");
  context.fillStyle = getComputedStyle(document.documentElement).getPropertyValue("--stage");
  context.fillRect(0, 0, picture.width, picture.height);
  context.drawImage(here.viewer.drawer.canvas, 0, 0, picture.width, picture.height);
  context.drawImage(overlay, 0, 0);
  const { um, px } = scaleFor(view);
  const [left, bottom] = [20 * ratio, picture.height - 20 * ratio];
  context.fillStyle = "rgb(255 255 255 / 0.85)";
  context.fillRect(left - 10 * ratio, bottom - 32 * ratio, px * ratio + 20 * ratio, 42 * ratio);
  context.fillStyle = "#111";
  context.font = `${13 * ratio}px system-ui, sans-serif`;
  context.fillText(lengthText(um), left, bottom - 14 * ratio);
  context.fillRect(left, bottom - 6 * ratio, px * ratio, 4 * ratio);
  picture.toBlob((blob) => {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(blob);
    link.download = `${here.view.id}.png`;
    link.click();
    URL.revokeObjectURL(link.href);
  });
}

// ---- places to look at in turn ----

let atPlace = -1;

function startPlaces() {
  const places = here.view.facts.places ?? [];
  $("places").hidden = places.length === 0;
  $("next").onclick = () => goToPlace(atPlace + 1);
  $("before").onclick = () => goToPlace(atPlace - 1);
  $("atplace").textContent = `${grouped(places.length)} of them.`;
}

/** Around again after the last. */
function goToPlace(index) {
  const places = here.view.facts.places ?? [];
  if (places.length === 0) return;
  atPlace = (index + places.length) % places.length;
  const { x, y, side, name } = places[atPlace];
  const across = Math.max(6 * side, 60 / here.view.mpp); // level-0 px
  goTo(new URLSearchParams({ x, y, downsample: across / here.viewer.viewport.getContainerSize().y }), false);
  $("atplace").textContent = `${grouped(atPlace + 1)} of ${grouped(places.length)}: ${name}`;
}

// ---- two runs ----

const framed = window.parent !== window; // one of two pages in compare.html

function tellParent(message) {
  if (framed) window.parent.postMessage(message, location.origin);
}

function connectParent() {
  if (!framed) return;
  document.body.classList.add("bare");
  $("drawer").setAttribute("aria-expanded", "false");
  $("tally").hidden = false;
  for (const event of ["pointermove", "pointerdown", "wheel", "keydown"]) {
    addEventListener(event, () => tellParent({ kind: "lead" }), { capture: true, passive: true });
  }
  addEventListener("message", ({ data, source, origin }) => {
    if (source !== window.parent || origin !== location.origin || data.kind !== "follow" || !here.header) return;
    goTo(new URLSearchParams(data), true);
    if (data.step !== shown.step) setStep(data.step);
  });
}

function tellView() {
  if (!framed || !here.header) return;
  const view = seen();
  const x = view.x + (view.width * view.downsample) / 2;
  const y = view.y + (view.height * view.downsample) / 2;
  tellParent({ kind: "view", x, y, downsample: view.downsample, step: shown.step });
}

// ---- keys and buttons ----

const KEYS = {
  "+": () => here.viewer.viewport.zoomBy(1.5),
  "=": () => here.viewer.viewport.zoomBy(1.5),
  "-": () => here.viewer.viewport.zoomBy(1 / 1.5),
  0: () => here.viewer.viewport.goHome(),
  ArrowLeft: () => move(-0.2, 0),
  ArrowRight: () => move(0.2, 0),
  ArrowUp: () => move(0, -0.2),
  ArrowDown: () => move(0, 0.2),
  "[": () => setStep(shown.step - 1),
  "]": () => setStep(shown.step + 1),
  c: () => setLayer("cells", !shown.cells),
  f: () => setLayer("fill", !shown.fill),
  r: () => toggleRegions(),
  p: () => togglePanel(),
  s: () => savePicture(),
  l: () => copyLink(),
  n: (event) => goToPlace(atPlace + (event.shiftKey ? -1 : 1)),
  b: () => tellParent({ kind: "turn" }),
  "?": () => $("help").showModal(),
};

function move(x, y) {
  const bounds = here.viewer.viewport.getBounds();
  here.viewer.viewport.panBy(new OpenSeadragon.Point(x * bounds.width, y * bounds.height));
}

function toggleRegions() {
  const on = Object.values(shown.regions).some(Boolean);
  Object.keys(shown.regions).forEach((kind) => (shown.regions[kind] = !on));
  fillLayers();
  restyle();
}

function togglePanel() {
  const bare = document.body.classList.toggle("bare");
  $("drawer").setAttribute("aria-expanded", String(!bare));
}

/** Whether a key belongs to the control that has the focus. */
function isTyping({ target, key }) {
  if (target.matches("#shapename")) return true;
  if (target.matches("select, input[type=range]")) return key.startsWith("Arrow");
  return target.matches("button") && key === "Enter";
}

function onKey(event) {
  if (isTyping(event) || event.ctrlKey || event.metaKey || event.altKey || $("help").open || !here.header) return;
  if (/^[1-9]$/.test(event.key)) {
    $("classes").tBodies[0].rows[Number(event.key) - 1]?.querySelector("input").click();
    return;
  }
  const action = KEYS[event.key] ?? KEYS[event.key.toLowerCase()];
  if (!action) return;
  event.preventDefault();
  action(event);
}

function connectControls() {
  addEventListener("keydown", onKey);
  addEventListener("hashchange", () => here.header && goTo(new URLSearchParams(location.hash.slice(1)), false));
  $("score").oninput = () => setStep(Number($("score").value));
  $("whole").onclick = KEYS[0];
  $("link").onclick = copyLink;
  $("picture").onclick = savePicture;
  $("keys").onclick = KEYS["?"];
  $("drawer").onclick = togglePanel;
  $("slides").onchange = () => {
    location.hash = `slide=${$("slides").value}`;
    location.reload();
  };
}

function connectViewer(viewer) {
  overlay = document.createElement("canvas");
  overlay.id = "overlay";
  viewer.canvas.append(overlay);
  // In the frame in which the slide is drawn, so that both move as one.
  viewer.addHandler("update-viewport", drawOverlay);
  viewer.addHandler("resize", redraw);
  for (const event of ["open", "animation", "animation-finish", "resize"]) {
    viewer.addHandler(event, () => {
      showScale();
      countSoon();
      keepLink();
      tellView();
    });
  }
  viewer.addHandler("tile-drawn", () => (times.picture ??= performance.now()));
  viewer.addHandler("canvas-click", (event) => event.quick && pickAt(event.position));
  viewer.addHandler("tile-load-failed", (event) => notice(`A part of the slide cannot be shown: ${event.message ?? "no picture"}`));
  viewer.innerTracker.moveHandler = (event) => showPlace(event.position);
}

// ---- for tests and the curious ----

const times = { start: performance.now() };

window.slidemill = {
  /** When the first picture of the slide was there and cells could be used, ms after the page began. */
  times,
  mostDraws: () => mostDraws,
  /** What is shown, and whether nothing is on its way. */
  state() {
    const late = $("total").classList.contains("late") || countTimer !== 0 || countedView === "";
    const pixels = here.viewer?.world.getItemAt(0)?.getFullyLoaded();
    const idle = Boolean(here.header) && !late && frame === 0 && lackingPieces === 0 && pixels && isStill();
    const classes = counted && here.header.classes.map((kind, index) => ({
      name: kind.name,
      cells: atLeast((of, s) => counted.steps[of * STEPS + s], shown.step)[index],
    }));
    const { step, unseen } = shown;
    return { idle, box: counted?.box, classes, step, unseen, notice: $("notice").textContent };
  },
  /** Goes to a place at once. */
  show({ x, y, downsample, step }) {
    goTo(new URLSearchParams({ x, y, downsample }), true);
    if (step !== undefined) setStep(step);
    countSoon();
    redraw();
  },
};

/** Whether the view is where it is going. */
function isStill() {
  const { viewport } = here.viewer;
  const [now, then] = [viewport.getBounds(true), viewport.getBounds(false)];
  return Math.abs(now.x - then.x) + Math.abs(now.width - then.width) < 1e-9 * now.width + 1e-12;
}

// ---- beginning ----

async function chooseSlide() {
  const list = await json("slides.json");
  const wanted = new URLSearchParams(location.hash.slice(1)).get("slide") ?? list.first;
  const chosen = wanted ? list.slides.find((slide) => slide.id === wanted) : list.slides[0];
  if (!chosen) throw new Error(`Slide ${wanted} is not in this dataset.`);
  fillSlides(list.slides, chosen.id);
  showReport(list.report, chosen.id);
  if (list.changing) setInterval(lookAgain, LOOK_EVERY);
  return chosen.id;
}

/** Links to the slide's card in the report and to its page for paper, where they are. */
function showReport(report, id) {
  $("report").hidden = !report || framed;
  if (!report) return;
  const print = report.print[id];
  $("card").href = `${report.first}#slide-${id}`;
  $("paper").hidden = !print;
  if (print) $("paper").href = print;
}

function fillSlides(slides, chosen) {
  const names = slides.map(({ id, name, facts }) => `${name ?? id}${facts.preliminary ? " (at work)" : ""}`);
  const before = [...$("slides").options].map((option) => option.text);
  if (names.join("\n") === before.join("\n")) return;
  $("slides").hidden = slides.length < 2;
  $("slides").replaceChildren(...slides.map(({ id }, index) => new Option(names[index], id, false, id === chosen)));
}

// ---- a job at work ----

const LOOK_EVERY = 4000; // ms
let isLooking = false;

/** Takes over what a job has done since; a page that nobody sees waits. */
async function lookAgain() {
  if (isLooking || document.hidden || !here.header) return;
  isLooking = true;
  try {
    const list = await json("slides.json");
    fillSlides(list.slides, here.view.id);
    showReport(list.report, here.view.id);
    if (list.not_seen) notice(`It cannot be seen how far the job is: ${list.not_seen}`);
    const now = list.slides.find((slide) => slide.id === here.view.id);
    if (now && now.table !== here.header.table.sha256) await takeOver(now.facts);
  } catch (error) {
    notice(`The page is not kept up to date: ${error.message}`);
  } finally {
    isLooking = false;
  }
}

/** Cells as they are now; place, threshold and classes stay, and what is drawn does until its successor comes. */
async function takeOver(facts) {
  const { id } = here.view;
  here.header = await json(`slide/${id}/cells.json`);
  here.view.facts = facts;
  here.windows = null;
  // A worker of its own, so that no tile of other cells is taken for one of these.
  worker.port.terminate();
  startWorker();
  openCells();
  await showRegions(id);
}

/** Without pixels, cells are shown on an empty stage of the slide's size. */
function openPixels(view) {
  if (view.no_pixels) notice(`The slide's pixels cannot be shown: ${view.no_pixels}`);
  return new Promise((take) => {
    here.viewer.addOnceHandler("open", take);
    here.viewer.open(view.no_pixels ? emptySource(view) : tileSource(view));
  });
}

function emptySource(view) {
  const source = new OpenSeadragon.TileSource({ width: view.size[0], height: view.size[1], tileSize: 1 << 30 });
  source.getTileUrl = () => "data:image/gif;base64,R0lGODlhAQABAIAAAP///wAAACH5BAEAAAAALAAAAAABAAEAAAICRAEAOw==";
  return source;
}

async function showCells(header) {
  here.header = await header;
  const asked = Number(new URLSearchParams(location.hash.slice(1)).get("score"));
  shown.step = Math.min(Math.max(Math.round(100 * asked) || 0, 0), STEPS - 1);
  openCells();
}

/** Hands the cells to the worker and fills the panel. */
function openCells() {
  shown.classes = here.header.classes.map((_, index) => shown.classes[index] ?? true);
  const tiles = `slide/${here.view.id}/tiles/${here.header.table.sha256}/`;
  const fetchFrom = exported ? null : new URL(tiles, location.href).href;
  worker.port.postMessage({ kind: "open", header: here.header, fetchFrom });
  worker.port.postMessage({ kind: "style", style: styleOf() });
  fillPanel();
  fillClasses();
  showScores();
  showCounts();
  countedView = "";
  countNow();
  redraw();
}

async function showRegions(id) {
  here.regions = await json(`slide/${id}/regions.json`);
  fillLayers();
  worker.port.postMessage({ kind: "regions", regions: here.regions });
  restyle();
  if (!exported && (shown.windows || shown.unseen || here.view.facts.windows?.failed > 0)) {
    await loadWindows();
    restyle();
  }
}

async function start() {
  connectControls();
  connectParent();
  startWorker();
  const id = await chooseSlide();
  const header = json(`slide/${id}/cells.json`);
  header.catch(() => {}); // told where it is awaited
  here.view = await json(`slide/${id}/view.json`);
  fillPanel();
  document.title = here.view.name ?? here.view.id;
  here.viewer = openViewer();
  connectViewer(here.viewer);
  const opened = openPixels(here.view);
  await opened;
  goTo(new URLSearchParams(location.hash.slice(1)), true);
  showScale();
  await showCells(header);
  await showRegions(id);
  startPlaces();
  if (!framed) await startDrawing();
}

addEventListener("DOMContentLoaded", () => start().catch((error) => notice(error.message)));

// Shapes drawn by hand over the slide: points, boxes and polygons with a class, kept as
// GeoJSON in level-0 px, as QuPath writes it and `slidemill eval` and `dataset` read it.
"use strict";

const NEAR = 9; // CSS px within which a click means a vertex, a point or a border
const SHAPE_COLOUR = "#ffd400";

const drawing = {
  shapes: [], // {kind: "point" | "box" | "polygon", name, points: [[x, y], …]}
  tool: "move",
  begun: null, // the shape that is being drawn
  chosen: null, // the shape that was clicked
  undone: [], // what the shapes were before each change, the last at the end
};

// ---- drawing and choosing ----

function setTool(tool) {
  drawing.tool = tool;
  drawing.begun = null;
  document.querySelectorAll("#tools button").forEach((button) => {
    button.setAttribute("aria-pressed", String(button.value === tool));
  });
  $("slide").style.cursor = tool === "move" ? "" : "crosshair";
  here.viewer.gestureSettingsMouse.dblClickToZoom = tool === "move";
  here.viewer.gestureSettingsTouch.dblClickToZoom = tool === "move";
  choose(null);
}

/** A click with a tool; false when it means nothing to it. */
function drawAt([x, y], downsample) {
  if (drawing.tool === "point") return addShape({ kind: "point", name: shapeName(), points: [[x, y]] });
  if (drawing.tool === "polygon") return addVertex([x, y], downsample);
  if (drawing.tool === "box") return true;
  return chooseAt([x, y], downsample);
}

function addVertex([x, y], downsample) {
  drawing.begun ??= { kind: "polygon", name: shapeName(), points: [] };
  const { points } = drawing.begun;
  const [first] = points;
  const closes = points.length > 2 && distance(first, [x, y]) < NEAR * downsample;
  if (closes) return endPolygon();
  points.push([x, y]);
  redraw();
  return true;
}

function endPolygon() {
  const shape = drawing.begun;
  drawing.begun = null;
  if (shape?.kind === "polygon" && shape.points.length > 2) addShape(shape);
  redraw();
  return true;
}

/** A box from where the pointer went down to where it is. */
function dragBox(from, to, ended) {
  drawing.begun = { kind: "box", name: shapeName(), points: [from, [to[0], from[1]], to, [from[0], to[1]]] };
  if (ended) {
    const shape = drawing.begun;
    drawing.begun = null;
    if (from[0] !== to[0] && from[1] !== to[1]) addShape(shape);
  }
  redraw();
}

function addShape(shape) {
  change(() => drawing.shapes.push(shape));
  return true;
}

const distance = ([ax, ay], [bx, by]) => Math.hypot(ax - bx, ay - by);

/** The topmost shape under a point; true when there is one. */
function chooseAt(point, downsample) {
  const near = NEAR * downsample;
  const hit = drawing.shapes.findLast(({ kind, points }) =>
    kind === "point" ? distance(points[0], point) < near : nearBorder(points, point) < near,
  );
  choose(hit ?? null);
  return hit !== undefined;
}

function nearBorder(points, [x, y]) {
  return Math.min(...points.map(([ax, ay], i) => {
    const [bx, by] = points[(i + 1) % points.length];
    const length = (bx - ax) ** 2 + (by - ay) ** 2;
    const share = length === 0 ? 0 : Math.min(1, Math.max(0, ((x - ax) * (bx - ax) + (y - ay) * (by - ay)) / length));
    return Math.hypot(ax + share * (bx - ax) - x, ay + share * (by - ay) - y);
  }));
}

function choose(shape) {
  drawing.chosen = shape;
  if (shape) $("shapename").value = shape.name;
  $("erase").disabled = shape === null;
  redraw();
}

const shapeName = () => $("shapename").value.trim() || "unnamed";

// ---- changing ----

function change(act) {
  drawing.undone.push(structuredClone(drawing.shapes));
  if (drawing.undone.length > 100) drawing.undone.shift();
  act();
  shapesChanged();
}

function shapesChanged() {
  const n = drawing.shapes.length;
  $("shapes").textContent = n === 0 ? "Nothing is drawn." : `${grouped(n)} ${n === 1 ? "shape" : "shapes"}.`;
  $("undo").disabled = drawing.undone.length === 0;
  redraw();
  saveSoon();
}

function undo() {
  const before = drawing.undone.pop();
  if (!before) return;
  drawing.shapes = before;
  choose(null);
  shapesChanged();
}

function erase() {
  const { chosen } = drawing;
  if (!chosen) return;
  change(() => (drawing.shapes = drawing.shapes.filter((shape) => shape !== chosen)));
  choose(null);
}

function relabel() {
  const { chosen } = drawing;
  if (chosen && chosen.name !== shapeName()) change(() => (chosen.name = shapeName()));
}

// ---- on the overlay ----

function drawShapes(context, view, scale) {
  const line = window.devicePixelRatio;
  for (const shape of [...drawing.shapes, ...(drawing.begun ? [drawing.begun] : [])]) {
    const colour = shape === drawing.chosen ? "#ff2fd0" : SHAPE_COLOUR;
    const points = shape.points.map(([x, y]) => [(x - view.x) * scale, (y - view.y) * scale]);
    if (shape.kind === "point") drawPoint(context, points[0], colour, line);
    else drawRing(context, points, shape !== drawing.begun || shape.kind === "box", colour, line);
    const [x, y] = points[0];
    context.font = `${12 * line}px system-ui, sans-serif`;
    context.strokeStyle = "#111";
    context.lineWidth = 3 * line;
    context.strokeText(shape.name, x + 7 * line, y - 7 * line);
    context.fillStyle = colour;
    context.fillText(shape.name, x + 7 * line, y - 7 * line);
  }
}

function drawPoint(context, [x, y], colour, line) {
  context.beginPath();
  context.arc(x, y, 5 * line, 0, 2 * Math.PI);
  context.fillStyle = colour;
  context.fill();
  context.strokeStyle = "#111";
  context.lineWidth = 1.5 * line;
  context.stroke();
}

function drawRing(context, points, closed, colour, line) {
  context.beginPath();
  points.forEach(([x, y], i) => (i === 0 ? context.moveTo(x, y) : context.lineTo(x, y)));
  if (closed) context.closePath();
  for (const [stroke, wide] of [["#111", 4], [colour, 2]]) {
    context.strokeStyle = stroke;
    context.lineWidth = wide * line;
    context.stroke();
  }
}

// ---- as GeoJSON ----

const round = (value) => Math.round(value * 16) / 16;

function toGeoJson() {
  const feature = ({ kind, name, points }, index) => {
    const rounded = points.map((point) => point.map(round));
    const geometry =
      kind === "point"
        ? { type: "Point", coordinates: rounded[0] }
        : { type: "Polygon", coordinates: [[...rounded, rounded[0]]] };
    const properties = { objectType: "annotation", classification: { name }, drawn: kind };
    return { type: "Feature", id: String(index), geometry, properties };
  };
  return { type: "FeatureCollection", features: drawing.shapes.map(feature) };
}

/** Shapes of ours. A file that holds others is left alone: saving would lose them. */
function fromGeoJson(collection) {
  return collection.features.map(({ geometry, properties }) => {
    const name = properties?.classification?.name ?? "unnamed";
    if (geometry.type === "Point") return { kind: "point", name, points: [geometry.coordinates] };
    if (geometry.type !== "Polygon" || geometry.coordinates.length !== 1) {
      throw new Error(`the drawing holds a ${geometry.type} that cannot be drawn here; the file stays as it is`);
    }
    const points = geometry.coordinates[0].slice(0, -1);
    return { kind: properties?.drawn === "box" ? "box" : "polygon", name, points };
  });
}

let saveTimer = 0;
function saveSoon() {
  $("saved").textContent = "";
  if (exported) return;
  clearTimeout(saveTimer);
  saveTimer = setTimeout(save, 400);
}

async function save() {
  saveTimer = 0;
  const answer = await fetch(`slide/${here.view.id}/drawing.geojson`, { method: "PUT", body: JSON.stringify(toGeoJson()) });
  if (answer.ok) $("saved").textContent = "Saved.";
  else notice(`The drawing is not saved: ${(await answer.text()).trim()}`);
}

function saveFile() {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([JSON.stringify(toGeoJson())], { type: "application/geo+json" }));
  link.download = `${here.view.id}.geojson`;
  link.click();
  URL.revokeObjectURL(link.href);
}

/** The tools are there once it is known what was drawn before. */
async function startDrawing() {
  if (!exported) drawing.shapes = fromGeoJson(await json(`slide/${here.view.id}/drawing.geojson`));
  $("drawing").hidden = false;
  $("shapenames").replaceChildren(...(here.header?.classes ?? []).map(({ name }) => new Option(name, name)));
  $("shapename").value = here.header?.classes[0]?.name ?? "";
  document.querySelectorAll("#tools button").forEach((button) => (button.onclick = () => setTool(button.value)));
  $("undo").onclick = undo;
  $("erase").onclick = erase;
  $("download").onclick = saveFile;
  $("shapename").onchange = relabel;
  connectDrawing(here.viewer);
  const n = drawing.shapes.length;
  $("shapes").textContent = n === 0 ? "Nothing is drawn." : `${grouped(n)} ${n === 1 ? "shape" : "shapes"}.`;
  redraw();
}

function connectDrawing(viewer) {
  let from = null;
  const place = (position) => {
    const view = seen();
    return [view.x + position.x * view.downsample, view.y + position.y * view.downsample];
  };
  viewer.addHandler("canvas-press", (event) => (from = place(event.position)));
  viewer.addHandler("canvas-drag", (event) => {
    if (drawing.tool !== "box") return;
    event.preventDefaultAction = true;
    dragBox(from, place(event.position), false);
  });
  viewer.addHandler("canvas-drag-end", (event) => {
    if (drawing.tool !== "box" || !drawing.begun) return;
    event.preventDefaultAction = true;
    dragBox(from, place(event.position), true);
  });
  viewer.addHandler("canvas-double-click", () => drawing.tool === "polygon" && endPolygon());
}

Object.assign(KEYS, {
  Enter: () => endPolygon(),
  Escape: () => setTool("move"),
  Delete: () => erase(),
  Backspace: () => erase(),
  u: () => undo(),
});

// The page asks for the frame after the last it has shown, so it never falls behind.
"use strict";

const COLOURS = ["#00b3a4", "#e8590c", "#7048e8", "#d6336c", "#2f9e44", "#1971c2", "#f08c00", "#495057"];
/** Frames over which the rate is told. */
const RATE_FRAMES = 30;

const byId = (id) => document.getElementById(id);
const canvas = byId("field");
const pen = canvas.getContext("2d");
const classes = [];
let times = [];

function colourOf(name) {
  if (!classes.includes(name)) {
    classes.push(name);
  }
  return COLOURS[classes.indexOf(name) % COLOURS.length];
}

function draw(picture, line) {
  if (canvas.width !== picture.width || canvas.height !== picture.height) {
    canvas.width = picture.width;
    canvas.height = picture.height;
  }
  pen.drawImage(picture, 0, 0);
  if (!byId("cells").checked) {
    return;
  }
  pen.lineWidth = 1.5;
  for (const cell of line.objects) {
    pen.strokeStyle = colourOf(cell.class);
    if (cell.outline) {
      pen.beginPath();
      cell.outline.forEach(([x, y], at) => (at === 0 ? pen.moveTo(x, y) : pen.lineTo(x, y)));
      pen.closePath();
      pen.stroke();
    } else {
      pen.strokeRect(...cell.box);
    }
  }
}

function row(cells, colour) {
  const line = document.createElement("tr");
  for (const text of cells) {
    line.append(Object.assign(document.createElement("td"), { textContent: text }));
  }
  if (colour) {
    const swatch = Object.assign(document.createElement("span"), { className: "swatch" });
    swatch.style.background = colour;
    line.firstChild.prepend(swatch);
  }
  return line;
}

function sum(counts) {
  return Object.values(counts).reduce((all, count) => all + count, 0);
}

function tellCounts(line) {
  const names = [...new Set([...Object.keys(line.in_view), ...Object.keys(line.mosaic)])].sort();
  const rows = names.map((name) => row([name, line.in_view[name] ?? 0, line.mosaic[name] ?? 0], colourOf(name)));
  rows.push(row(["all", line.lost ? "–" : sum(line.in_view), sum(line.mosaic)]));
  byId("counts").replaceChildren(...rows);
}

function tellRate() {
  times = [...times, performance.now()].slice(-RATE_FRAMES);
  const seconds = (times.at(-1) - times[0]) / 1000;
  byId("rate").textContent = times.length > 1 ? ((times.length - 1) / seconds).toFixed(1) : "–";
}

function tellState(line, ended) {
  const state = byId("state");
  let word = "Following the stage";
  if (line.lost) {
    word = "Lost: moved too far, or nothing to follow";
  } else if (line.full) {
    word = "Full: the model may have missed cells";
  }
  state.textContent = ended ? "Ended: this is the last frame" : word;
  state.className = ended ? "ended" : line.lost || line.full ? "lost" : "";
  canvas.className = line.lost ? "lost" : "";
}

function tell(line, ended) {
  tellState(line, ended);
  tellCounts(line);
  tellRate();
  byId("latency").textContent = line.latency_ms === undefined ? "–" : `${line.latency_ms.toFixed(0)} ms`;
  byId("dropped").textContent = line.dropped;
  byId("segment").textContent = line.segment ?? "–";
  byId("stage").textContent = line.stage ? line.stage.map((value) => value.toFixed(0)).join(", ") : "–";
  byId("confidence").textContent = line.confidence.toFixed(2);
  byId("changes").textContent = `${line.changes.born}, ${line.changes.died}`;
}

async function picture(count) {
  const answer = await fetch(`field/${count}.jpg`);
  // A newer frame is there already: it is asked for next.
  return answer.ok ? createImageBitmap(await answer.blob()) : undefined;
}

async function follow() {
  let count = 0;
  for (;;) {
    const { count: now, ended, line } = await (await fetch(`after/${count}`)).json();
    if (line && (now > count || ended)) {
      const field = await picture(now);
      if (field) {
        draw(field, line);
        tell(line, ended);
      }
    }
    count = now;
    if (ended) {
      return;
    }
  }
}

byId("state").className = "waiting";
follow().catch(() => {
  byId("state").textContent = "The program has ended";
  byId("state").className = "ended";
});

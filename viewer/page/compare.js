// Two runs of the same slides: two pages that show the same place, side by side or in
// turn. The page under the pointer leads, the other follows.
"use strict";

const $ = (id) => document.getElementById(id);
const frames = [$("a"), $("b")];
let leader = frames[0];
let front = 0; // which is seen while they take turns

function setMode(blinking) {
  $("frames").className = blinking ? "blink" : "beside";
  $("beside").setAttribute("aria-pressed", String(!blinking));
  $("blink").setAttribute("aria-pressed", String(blinking));
  bringToFront(front);
}

function bringToFront(index) {
  front = index;
  frames.forEach((frame, i) => frame.classList.toggle("back", i !== index));
}

function turn() {
  if ($("frames").className !== "blink") setMode(true);
  else bringToFront(1 - front);
  leader = frames[front];
}

addEventListener("message", (event) => {
  if (event.origin !== location.origin) return;
  const from = frames.find((frame) => frame.contentWindow === event.source);
  if (!from) return;
  if (event.data.kind === "lead") leader = from;
  if (event.data.kind === "turn") turn();
  if (event.data.kind === "view" && from === leader) {
    const other = frames.find((frame) => frame !== from);
    other.contentWindow.postMessage({ ...event.data, kind: "follow" }, location.origin);
  }
});
addEventListener("keydown", (event) => event.key.toLowerCase() === "b" && turn());
$("beside").onclick = () => setMode(false);
$("blink").onclick = turn;

fetch("names.json")
  .then((answer) => answer.json())
  .then(({ a, b, first }) => {
    $("name-a").textContent = a;
    $("name-b").textContent = b;
    const hash = location.hash || (first ? `#slide=${first}` : "");
    frames.forEach((frame) => (frame.src = `${frame.id}/${hash}`));
  });

// A click on a head sorts its table by that column, a second one the other way. What is typed below a head of a long table
// leaves the rows that have it: a part of the text, or for numbers 5.., ..5, 1..5, >5, <5.
"use strict";

const LONG = 12; // rows from which a table can be filtered

/** The value that a row is sorted and filtered by: a number where it has one, else its text. */
function valueOf(row, column) {
  const cell = row.cells[column];
  if (cell === undefined) return "";
  if (cell.dataset.value !== undefined) return Number(cell.dataset.value);
  const text = cell.textContent.trim();
  const number = cell.classList.contains("number") ? numberIn(text) : NaN;
  return Number.isNaN(number) ? text : number;
}

/** The number that a text begins with, with its groups of three and its unit; NaN without one. */
function numberIn(text) {
  const begin = text.replace(/[\s\u202f\u00a0]/g, "").replace(",", ".").match(/^-?[\d.]+/);
  return begin ? Number(begin[0]) : NaN;
}

/** Rows without a number come last in either order. */
function order(a, b, falling) {
  if (typeof a !== typeof b) return typeof a === "number" ? -1 : 1;
  const rising = typeof a === "number" ? a - b : a.localeCompare(b, undefined, { numeric: true });
  return falling ? -rising : rising;
}

function sortBy(table, heads, column) {
  const head = heads[column];
  const was = head.getAttribute("aria-sort");
  const falling = was === null ? head.classList.contains("number") : was === "ascending";
  heads.forEach((other) => other.removeAttribute("aria-sort"));
  head.setAttribute("aria-sort", falling ? "descending" : "ascending");
  const body = table.tBodies[0];
  body.append(...[...body.rows].sort((x, y) => order(valueOf(x, column), valueOf(y, column), falling)));
}

/** The limits that a text asks for, or null where it asks for a part of the text. */
function limits(text) {
  const end = (part, open) => (part.trim() === "" ? open : numberIn(part));
  if (text.includes("..")) {
    const [low, high] = text.split("..");
    return [end(low, -Infinity), end(high, Infinity)];
  }
  const sign = text.match(/^\s*([<>])=?(.*)$/);
  if (sign === null) return null;
  return sign[1] === ">" ? [end(sign[2], -Infinity), Infinity] : [-Infinity, end(sign[2], Infinity)];
}

function has(row, column, text) {
  const value = valueOf(row, column);
  const wanted = limits(text);
  if (wanted && typeof value === "number") return value >= wanted[0] && value <= wanted[1];
  return (row.cells[column]?.textContent ?? "").toLowerCase().includes(text.trim().toLowerCase());
}

function filterRows(table, inputs, status) {
  const rows = [...table.tBodies[0].rows];
  const asked = inputs.map((input) => input.value).map((text, column) => ({ text, column })).filter(({ text }) => text.trim());
  rows.forEach((row) => {
    row.hidden = !asked.every(({ text, column }) => has(row, column, text));
  });
  const left = rows.filter((row) => !row.hidden).length;
  status.textContent = left === rows.length ? "" : `${left} of ${rows.length} shown`;
}

function addSorting(table, heads) {
  heads.forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => sortBy(table, heads, column));
  });
}

function addFilters(table, heads) {
  const status = document.createElement("p");
  status.className = "note shown";
  status.setAttribute("role", "status");
  (table.closest(".scroll") ?? table).before(status);
  const inputs = heads.map((head) => {
    const input = document.createElement("input");
    input.type = "search";
    input.placeholder = head.classList.contains("number") ? "1..5" : "has";
    input.setAttribute("aria-label", `Filter by ${head.textContent}`);
    input.addEventListener("input", () => filterRows(table, inputs, status));
    return input;
  });
  const row = table.tHead.insertRow();
  row.className = "filters";
  inputs.forEach((input, column) => {
    const cell = document.createElement("th");
    cell.classList.toggle("more", heads[column].classList.contains("more"));
    cell.append(input);
    row.append(cell);
  });
}

for (const table of document.querySelectorAll("table.sorts")) {
  const heads = [...table.tHead.rows[0].cells];
  const rows = table.tBodies[0].rows.length;
  if (rows > 1) addSorting(table, heads);
  if (rows >= LONG || (rows > 1 && table.dataset.filters !== undefined)) addFilters(table, heads);
}

// `slidemill view` serves this page beside its own.
if (location.protocol.startsWith("http")) {
  document.querySelectorAll("a.served").forEach((link) => (link.hidden = false));
  document.querySelectorAll(".command").forEach((told) => (told.hidden = true));
}

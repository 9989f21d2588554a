// A click on a head sorts the table by that column, a second one the other way. What is typed below a head leaves the
// rows that have it: a part of the text, or for numbers 5.., ..5, 1..5, >5, <5.
const body = document.querySelector("#cohort tbody");
const heads = [...document.querySelectorAll("#cohort thead tr:first-child th")];
const wanted = [...document.querySelectorAll("#cohort thead input")];
const shown = document.querySelector("#shown");
const key = (row, column) => {
  const cell = row.cells[column];
  return cell.dataset.value === undefined ? cell.textContent : Number(cell.dataset.value);
};
const compare = (a, b) => {
  // Slides without a number come last in either order.
  if (typeof a === typeof b) return typeof a === "number" ? a - b : a.localeCompare(b);
  return null;
};
heads.forEach((head, column) => head.addEventListener("click", () => {
  const falling = head.getAttribute("aria-sort") === "ascending" || (!head.hasAttribute("aria-sort") && head.classList.contains("number"));
  heads.forEach((other) => other.removeAttribute("aria-sort"));
  head.setAttribute("aria-sort", falling ? "descending" : "ascending");
  const rows = [...body.rows].sort((x, y) => {
    const [a, b] = [key(x, column), key(y, column)];
    return compare(a, b) === null ? (typeof a === "number" ? -1 : 1) : (falling ? -1 : 1) * compare(a, b);
  });
  body.append(...rows);
}));
const range = (text) => {
  const number = (part) => (part.trim() === "" ? undefined : Number(part.replace(/[\s\u202f]/g, "").replace(",", ".")));
  const parts = text.includes("..") ? text.split("..") : null;
  if (parts) return [number(parts[0]) ?? -Infinity, number(parts[1]) ?? Infinity];
  const sign = text.match(/^\s*([<>])=?(.*)$/);
  if (sign) return sign[1] === ">" ? [number(sign[2]) ?? -Infinity, Infinity] : [-Infinity, number(sign[2]) ?? Infinity];
  return null;
};
const has = (row, column, text) => {
  const value = key(row, column);
  const limits = range(text);
  if (limits && typeof value === "number") return value >= limits[0] && value <= limits[1];
  return row.cells[column].textContent.toLowerCase().includes(text.trim().toLowerCase());
};
const filter = () => {
  let left = 0;
  for (const row of body.rows) {
    const stays = wanted.every((input, column) => input.value.trim() === "" || has(row, column, input.value));
    row.hidden = !stays;
    left += stays;
  }
  shown.textContent = left === body.rows.length ? "" : `${left} of ${body.rows.length} shown`;
};
wanted.forEach((input) => input.addEventListener("input", filter));

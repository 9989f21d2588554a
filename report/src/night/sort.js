// A click on a head sorts the table by that column, a second one the other way.
const body = document.querySelector("#cohort tbody");
const heads = [...document.querySelectorAll("#cohort thead th")];
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

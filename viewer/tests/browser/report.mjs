// Looks at a page of the report in a real browser and prints what it saw, as JSON.
//
//   node report.mjs '{"address": …, "browser": …, …}'
//
// `papers`    sizes of paper, such as "A4": gives the number of sheets that each takes, and px by which a sheet is too full
// `tags`      true: gives the elements whose number in the page is another than in its text, as where nesting is wrong
// `sort`      a selector of a table: gives, by head, the column after one click and after a second one
// `filter`    {table, column, text}: gives the rows that are left, and what is said of them
// `shots`     [{file, width, height, dark, media, full}]: screenshots that a person looks at
import { readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { chromium } from "playwright-core";

const job = JSON.parse(process.argv[2]);
const browser = await chromium.launch({ executablePath: job.browser, args: ["--no-sandbox", "--disable-gpu"] });
const problems = [];
const seen = { problems };

async function open(options = {}) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 900 }, ...options });
  const page = await context.newPage();
  page.on("pageerror", (error) => problems.push(error.message));
  page.on("console", (message) => message.type() === "error" && problems.push(message.text()));
  page.on("request", (request) => /^https?:/.test(request.url()) && problems.push(`asked for ${request.url()}`));
  await page.goto(job.address);
  return page;
}

async function papers() {
  const page = await open();
  const sheets = {};
  for (const format of job.papers) {
    const pdf = await page.pdf({ format, printBackground: true, preferCSSPageSize: false, margin: { top: "10mm", bottom: "10mm", left: "10mm", right: "10mm" } });
    sheets[format] = pdf.toString("latin1").match(/\/Type\s*\/Page\b/g).length;
    if (job.pdf) writeFileSync(`${job.pdf}-${format}.pdf`, pdf);
  }
  await page.emulateMedia({ media: "print" });
  const over = await page.evaluate(() => [...document.querySelectorAll(".sheet")].map((sheet) => Math.max(0, sheet.scrollHeight - sheet.clientHeight)));
  await page.context().close();
  return { sheets, over };
}

async function tags() {
  const page = await open({ javaScriptEnabled: false });
  const text = readFileSync(fileURLToPath(job.address), "utf8").replace(/<(script|style)\b[^]*?<\/\1>/g, "<$1>");
  const written = {};
  for (const [, name] of text.matchAll(/<([a-z][a-z0-9]*)/gi)) written[name.toLowerCase()] = (written[name.toLowerCase()] ?? 0) + 1;
  const differ = await page.evaluate((written) => {
    const names = new Set([...Object.keys(written), ...[...document.querySelectorAll("*")].map((element) => element.localName.toLowerCase())]);
    return [...names].filter((name) => document.getElementsByTagName(name).length !== (written[name] ?? 0));
  }, written);
  await page.context().close();
  return differ;
}

function column(page, table, place) {
  return page.$$eval(`${table} tbody tr`, (rows, place) => rows.filter((row) => !row.hidden).map((row) => row.cells[place].dataset.value ?? row.cells[place].textContent), place);
}

async function sort() {
  const page = await open();
  const heads = await page.$$(`${job.sort} thead tr:first-child th`);
  const sorted = [];
  for (const [place, head] of heads.entries()) {
    const button = await head.$("button");
    await button.click();
    const first = { order: await head.getAttribute("aria-sort"), column: await column(page, job.sort, place) };
    await button.click();
    const second = { order: await head.getAttribute("aria-sort"), column: await column(page, job.sort, place) };
    sorted.push({ head: await head.textContent(), first, second });
  }
  await page.context().close();
  return sorted;
}

async function filter() {
  const { table, column: place, text } = job.filter;
  const page = await open();
  await page.locator(`${table} .filters th`).nth(place).locator("input").fill(text);
  const left = await column(page, table, place);
  const told = await page.textContent(".shown");
  await page.context().close();
  return { left, told };
}

async function shots() {
  for (const { file, width, height, dark, media, full } of job.shots) {
    const page = await open({ viewport: { width, height }, colorScheme: dark ? "dark" : "light" });
    if (media) await page.emulateMedia({ media });
    await page.screenshot({ path: file, fullPage: full ?? true });
    await page.context().close();
  }
}

try {
  if (job.papers) seen.papers = await papers();
  if (job.tags) seen.tags = await tags();
  if (job.sort) seen.sort = await sort();
  if (job.filter) seen.filter = await filter();
  if (job.shots) await shots();
} finally {
  await browser.close();
}
console.log(JSON.stringify(seen));

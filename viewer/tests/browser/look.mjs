// Looks at the viewer in a real browser and prints what it saw, as JSON.
//
//   node look.mjs '{"address": …, "browser": …, "gpu": "software" | "none", "views": […], …}'
//
// `views`     places to go to, each {x, y, downsample, step}: gives the counts shown there
// `picture`   a tile of pixels, as a path below the address: gives its RGBA in base64
// `click`     a place {x, y, downsample} to click in the middle of: gives the facts shown
// `pan`       a place {x, y, downsample} to pan from for a while: gives what a frame costs
// `veil`      places {x, y, downsample}: lays the veil over what was not analysed; gives how much of it lies on the middle
//             of each, 0 to 255
// `draw`      a place {x, y, downsample} to draw a point, a box and a polygon at
// `follow`    a place {x, y, downsample} for the first of two runs: gives what both then show
// `watch`     a file that is made when the page shows a slide at work: gives what the page says then, and the
//             cells it counts when the slide has ended
// `shots`     [{file, width, height, dark, hash, keys}]: screenshots that a person looks at
import { writeFileSync } from "node:fs";
import { chromium } from "playwright-core";

const job = JSON.parse(process.argv[2]);
const FLAGS = {
  software: ["--use-angle=swiftshader", "--enable-unsafe-swiftshader"],
  none: ["--disable-gpu", "--disable-3d-apis"],
};

const browser = await chromium.launch({
  executablePath: job.browser,
  args: ["--no-sandbox", "--enable-precise-memory-info", ...FLAGS[job.gpu ?? "software"]],
});
const problems = [];
const seen = { problems };

async function open(options = {}, hash = "") {
  const context = await browser.newContext({ viewport: { width: 1440, height: 900 }, ...options });
  const page = await context.newPage();
  page.on("pageerror", (error) => problems.push(error.message));
  page.on("console", (message) => message.type() === "error" && problems.push(message.text()));
  await page.goto(job.address + hash);
  return page;
}

/** Until nothing is on its way: pixels, pieces of the overlay, counts. */
async function settled(page) {
  await page.waitForFunction(() => window.slidemill?.state().idle, null, { timeout: 120000 });
  return page.evaluate(() => window.slidemill.state());
}

async function timing() {
  const page = await open();
  await page.waitForFunction(() => window.slidemill?.times.cells, null, { timeout: 120000 });
  await settled(page);
  const times = await page.evaluate(() => window.slidemill.times);
  await page.context().close();
  return times;
}

async function views(page) {
  const counts = [];
  for (const view of job.views) {
    await page.evaluate((view) => window.slidemill.show(view), view);
    const { box, classes, step, notice } = await settled(page);
    counts.push({ box, classes, step, notice });
  }
  return counts;
}

function picture(page) {
  return page.evaluate(async (path) => {
    const bitmap = await createImageBitmap(await (await fetch(path)).blob(), { colorSpaceConversion: "none" });
    const canvas = new OffscreenCanvas(bitmap.width, bitmap.height);
    const context = canvas.getContext("2d", { willReadFrequently: true });
    context.drawImage(bitmap, 0, 0);
    const rgba = context.getImageData(0, 0, bitmap.width, bitmap.height).data;
    let text = "";
    for (let at = 0; at < rgba.length; at += 8192) text += String.fromCharCode(...rgba.subarray(at, at + 8192));
    return { width: bitmap.width, height: bitmap.height, rgba: btoa(text) };
  }, job.picture);
}

async function click(page) {
  await page.evaluate((view) => window.slidemill.show(view), job.click);
  await settled(page);
  const stage = await page.locator("#slide").boundingBox();
  await page.mouse.click(stage.x + stage.width / 2, stage.y + stage.height / 2);
  await page.waitForFunction(() => document.querySelector("#facts dt"), null, { timeout: 20000 });
  return page.locator("#facts").evaluate((list) =>
    Object.fromEntries([...list.querySelectorAll("dt")].map((term) => [term.textContent, term.nextSibling.textContent])),
  );
}

async function veil(page) {
  await page.locator("#layers label", { hasText: "not analysed" }).locator("input").check();
  await page.waitForFunction(() => window.slidemill.state().unseen, null, { timeout: 20000 });
  await page.keyboard.press("c"); // cells lie over it
  const veiled = [];
  for (const view of job.veil) {
    await page.evaluate((view) => window.slidemill.show(view), view);
    await settled(page);
    veiled.push(await page.locator("#overlay").evaluate((overlay) => {
      const middle = [overlay.width, overlay.height].map((length) => Math.floor(length / 2));
      return overlay.getContext("2d").getImageData(...middle, 1, 1).data[3];
    }));
  }
  return veiled;
}

/** A point in the middle, a box of 80 × 60 px right of it, a triangle left of it. */
async function draw(page) {
  await page.evaluate((view) => window.slidemill.show(view), job.draw);
  await settled(page);
  const stage = await page.locator("#slide").boundingBox();
  const [x, y] = [stage.x + stage.width / 2, stage.y + stage.height / 2];
  const tool = (name) => page.locator(`#tools button[value=${name}]`).click();
  await page.locator("#shapename").fill("tumour");
  await tool("point");
  await page.mouse.click(x, y);
  await page.waitForTimeout(400); // two clicks at once are a double click
  await tool("box");
  await page.mouse.move(x + 100, y);
  await page.mouse.down();
  await page.mouse.move(x + 140, y + 30, { steps: 4 });
  await page.mouse.move(x + 180, y + 60, { steps: 4 });
  await page.mouse.up();
  await tool("polygon");
  for (const [dx, dy] of [[-100, 0], [-160, 0], [-130, 50]]) {
    await page.mouse.click(x + dx, y + dy);
    await page.waitForTimeout(400);
  }
  await page.locator("#slide").focus();
  await page.keyboard.press("Enter");
  await page.waitForFunction(() => document.querySelector("#saved").textContent === "Saved.", null, { timeout: 20000 });
  return page.locator("#shapes").textContent();
}

/** Moves the first of two runs, and looks at both. */
async function follow() {
  const page = await open();
  const frame = async (id) => (await page.waitForSelector(`#${id}`)).contentFrame();
  const [a, b] = [await frame("a"), await frame("b")];
  const still = (frame) => frame.waitForFunction(() => window.slidemill?.state().idle, null, { timeout: 120000 });
  await Promise.all([still(a), still(b)]);
  await a.locator("#slide").hover();
  await a.evaluate((view) => window.slidemill.show(view), job.follow);
  await page.waitForTimeout(500);
  await Promise.all([still(a), still(b)]);
  const shown = (frame) => frame.evaluate(() => window.slidemill.state());
  return [await shown(a), await shown(b)];
}

/** Pans in a circle for three seconds, as fast as frames come. */
async function pan(page) {
  const session = await page.context().newCDPSession(page);
  // Time of the thread, not of the clock: a busy machine does not count.
  await session.send("Performance.enable", { timeDomain: "threadTicks" });
  await page.evaluate((view) => window.slidemill.show(view), job.pan);
  await settled(page);
  const metric = async (name) => {
    const { metrics } = await session.send("Performance.getMetrics");
    return metrics.find((found) => found.name === name).value;
  };
  const cpuSeconds = async () => {
    const { processInfo } = await (await browser.newBrowserCDPSession()).send("SystemInfo.getProcessInfo");
    return processInfo.reduce((sum, { cpuTime }) => sum + cpuTime, 0);
  };
  const [before, cpuBefore] = [await metric("ScriptDuration"), await cpuSeconds()];
  const frames = await page.evaluate(
    (view) =>
      new Promise((done) => {
        const times = [];
        const start = performance.now();
        const turn = (now) => {
          times.push(now);
          const angle = (now - start) / 400;
          const away = 260 * view.downsample;
          window.slidemill.show({ ...view, x: view.x + away * Math.sin(angle), y: view.y + away * (1 - Math.cos(angle)) });
          if (now - start < 3000) requestAnimationFrame(turn);
          else done(times);
        };
        requestAnimationFrame(turn);
      }),
    job.pan,
  );
  const [after, cpuAfter] = [await metric("ScriptDuration"), await cpuSeconds()];
  const gaps = frames.slice(1).map((time, i) => time - frames[i]).sort((a, b) => a - b);
  await settled(page);
  return {
    fps: (1000 * gaps.length) / gaps.reduce((sum, gap) => sum + gap, 0),
    median_ms: gaps[Math.floor(gaps.length / 2)],
    p95_ms: gaps[Math.floor(gaps.length * 0.95)],
    cpu_ms: (1000 * (cpuAfter - cpuBefore)) / frames.length, // of all the browser's processes
    script_ms: (1000 * (after - before)) / frames.length,
    heap_mb: (await metric("JSHeapUsedSize")) / 1e6,
    most_draws: await page.evaluate(() => window.slidemill.mostDraws()),
  };
}

async function watch() {
  const page = await open();
  await settled(page);
  const before = await page.locator("#preliminary").textContent();
  writeFileSync(job.watch, "");
  await page.waitForFunction(() => document.querySelector("#preliminary").hidden, null, { timeout: 120000 });
  const { classes } = await settled(page);
  return { before, cells: classes.reduce((sum, { cells }) => sum + cells, 0) };
}

async function shots() {
  for (const { file, width, height, dark, hash, keys, clickMiddle, touch } of job.shots) {
    const page = await open(
      { viewport: { width, height }, colorScheme: dark ? "dark" : "light", hasTouch: !!touch, deviceScaleFactor: touch ? 2 : 1 },
      hash ?? "",
    );
    await settled(page);
    for (const key of keys ?? []) await page.keyboard.press(key);
    await settled(page);
    if (clickMiddle) {
      const stage = await page.locator("#slide").boundingBox();
      await page.mouse.click(stage.x + stage.width / 2, stage.y + stage.height / 2);
      await page.waitForTimeout(800);
      await settled(page);
    }
    await page.waitForTimeout(400);
    await page.screenshot({ path: file });
    await page.context().close();
  }
}

try {
  if (job.timing) seen.timing = await timing();
  if (job.views || job.picture || job.click || job.veil || job.pan || job.draw) {
    const page = await open();
    seen.first = await settled(page);
    if (job.views) seen.views = await views(page);
    if (job.picture) seen.picture = await picture(page);
    if (job.click) seen.click = await click(page);
    if (job.veil) seen.veil = await veil(page);
    if (job.draw) seen.draw = await draw(page);
    if (job.pan) {
      seen.pan = await pan(page);
      await page.keyboard.press("c");
      seen.pan_without_cells = await pan(page);
    }
  }
  if (job.follow) seen.follow = await follow();
  if (job.watch) seen.watch = await watch();
  if (job.shots) await shots();
} catch (error) {
  problems.push(String(error));
} finally {
  await browser.close();
}
console.log(JSON.stringify(seen));

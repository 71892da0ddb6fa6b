// What the tests with a browser share: a daemon of its own, the browser, a page whose complaints are kept, and ways to wait. Nothing
// here sleeps for a fixed time to give something a chance: waits are for what the page shows.
//
// Arguments of each test: LEASED BUNDLED. BUNDLED is "true" where the binary holds the dashboard and not its placeholder. CHROMIUM: the
// browser (default /usr/bin/chromium).
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { Daemon } from './daemon.mjs';
import { skip, step, tap } from './tap.mjs';

const [binary, bundled] = process.argv.slice(2);
const web = join(dirname(fileURLToPath(import.meta.url)), '../../web');
const chromiumPath = process.env.CHROMIUM ?? '/usr/bin/chromium';

if (bundled !== 'true' || !existsSync(join(web, 'node_modules')))
  skip('the dashboard is not built: npm --prefix web ci --ignore-scripts, then meson setup --reconfigure');
if (!existsSync(chromiumPath))
  skip(`no browser at ${chromiumPath}: apt-get install chromium, or set CHROMIUM`);

const { chromium } = createRequire(join(web, 'package.json'))('playwright-core');

const FLAGS = ['--no-sandbox', '--disable-gpu', '--disable-background-networking', '--disable-component-update', '--disable-sync',
  '--no-first-run'];
export const TRAIN_MS = 400_000; // a slow machine, a build with checks
export const SHORT_MS = 20_000;

export const daemon = new Daemon(binary);
const complaints = [];
let browser;
export let page; // the one that the journey is made with

export async function newPage(options) {
  const opened = await browser.newPage({ viewport: { width: 1280, height: 900 }, colorScheme: 'light', ...options });
  opened.setDefaultTimeout(SHORT_MS);
  opened.on('pageerror', (error) => complaints.push(error.message));
  opened.on('console', (message) => {
    if (message.type() === 'error' && !message.text().startsWith('Failed to load resource'))
      complaints.push(message.text());
  });
  return opened;
}

// A second page, for as long as `use` takes. The first one is in front again afterwards: a page in the background asks for nothing.
export async function withPage(options, use) {
  const opened = await newPage(options);

  try {
    await use(opened);
  } finally {
    await opened.close();
    await page.bringToFront();
  }
}

export const until = (locator, text, timeout = TRAIN_MS) => locator.filter({ hasText: text }).waitFor({ timeout });
export const row = (id) => page.locator(`tr[data-job="${id}"]`);

// Goes to a view within the page, as a link would.
export async function visit(hash) {
  await page.evaluate((to) => { window.location.hash = to; }, hash);
}

// Waits until so many pixels of a chart have the colour of a curve: it is drawn a frame after its numbers have come.
export const drawn = (title, curve) => page.waitForFunction(([chart, name]) => {
  const canvas = document.querySelector(`[data-chart="${chart}"] canvas`);
  const wanted = getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
  const [r, g, b] = [1, 3, 5].map((at) => parseInt(wanted.slice(at, at + 2), 16));
  if (!canvas || canvas.width === 0)
    return false;
  const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
  let count = 0;
  for (let i = 0; i < data.length; i += 4)
    count += Math.abs(data[i] - r) + Math.abs(data[i + 1] - g) + Math.abs(data[i + 2] - b) < 12 && data[i + 3] > 200 ? 1 : 0;
  return count > 20;
}, [title, curve], { timeout: SHORT_MS });

// So many heat maps stand on the page, and none is missing.
export async function mapsLoaded(count, where = '.maps') {
  await page.waitForFunction(([n, within]) => document.querySelectorAll(`${within} canvas[data-map="loaded"]`).length === n, [count, where],
    { timeout: 120_000 });
  assert.equal(await page.locator(`${where} canvas`).count(), count);
}

// How many different pictures the canvases are.
export const different = (selector) => page.evaluate((where) => new Set([...document.querySelectorAll(where)].map((canvas) =>
  canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data.join())).size, selector);

export async function finished(id) {
  const end = Date.now() + TRAIN_MS;

  for (;;) {
    const job = await daemon.api(`jobs/${id}`);
    if (['succeeded', 'failed', 'cancelled', 'early_stopped'].includes(job.state))
      return job;
    assert.ok(Date.now() < end, `job ${id} does not end`);
    await sleep(100);
  }
}

export async function succeeded(id) {
  const job = await finished(id);

  assert.equal(job.state, 'succeeded', `job ${id}: ${job.reason}`);
  return job;
}

// After a failure: who still answers, what the page shows, what the daemon said.
async function explain() {
  const within = (promise) => Promise.race([promise, sleep(3000, 'no answer in 3 s')]).catch((error) => error.message);

  console.log(`# daemon: exit ${daemon.child?.exitCode}, livez ${await within(fetch(`${daemon.url}livez`).then((r) => r.status))}`);
  const shown = () => [document.visibilityState, window.location.hash, document.body.innerText.slice(0, 1000)];
  console.log(`# page: ${JSON.stringify(await within(page?.evaluate(shown)))}`);
  console.log(`# complaints: ${JSON.stringify(complaints)}`);
  console.log((await daemon.log()).slice(-1500).replace(/^/gm, '# '));
}

// The steps of a journey, then that nothing has complained.
export const journey = (main) => tap(async () => {
  await daemon.start();
  browser = await chromium.launch({ executablePath: chromiumPath, args: FLAGS, env: { ...process.env, HOME: daemon.folder } });
  page = await newPage();
  await main();
  await step('no script failed and the content policy refused nothing', () => assert.deepEqual(complaints, []));
}, async () => {
  if (process.exitCode)
    await explain();
  await browser?.close();
  await daemon.remove();
});

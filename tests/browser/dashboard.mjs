// dashboard.mjs LEASED BUNDLED -- the page in a real browser against the real daemon, as a user meets it: empty, a job, its curves, its
// heat maps, a cancelled job, a daemon that goes away and comes back.
//
// BUNDLED is "true" where the binary holds the dashboard and not its placeholder. CHROMIUM: the browser (default /usr/bin/chromium).
// LEASED_SCREENSHOT=FILE.png trains a better model and keeps a picture of the page.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { Daemon } from './daemon.mjs';
import { savePicture } from './picture.mjs';
import { skip, step, tap } from './tap.mjs';

const [binary, bundled] = process.argv.slice(2);
const web = join(dirname(fileURLToPath(import.meta.url)), '../../web');
const chromiumPath = process.env.CHROMIUM ?? '/usr/bin/chromium';
const picture = process.env.LEASED_SCREENSHOT;

if (bundled !== 'true' || !existsSync(join(web, 'node_modules')))
  skip('the dashboard is not built: npm --prefix web ci --ignore-scripts, then meson setup --reconfigure');
if (!existsSync(chromiumPath))
  skip(`no browser at ${chromiumPath}: apt-get install chromium, or set CHROMIUM`);

const { chromium } = createRequire(join(web, 'package.json'))('playwright-core');

const FLAGS = ['--no-sandbox', '--disable-gpu', '--disable-background-networking', '--disable-component-update', '--disable-sync',
  '--no-first-run'];
const TRAIN_MS = 400_000; // a slow machine, a build with checks
const SHORT_MS = 20_000;
const IMAGES = 8;
const STAGES = 4;
const SCALE = 4;
const SIZE = 32;

const augment = [{ name: 'crop', padding: 4 }, { name: 'flip' }];
const SMALL = { dataset: 'shapes', train_images: 1000, test_images: 100, epochs: 3, batch_size: 32,
  model: { name: 'resnet18', width: 8 }, augment };
const GOOD = { dataset: 'shapes', epochs: 8, optimizer: { name: 'sgd', lr: 0.05 }, model: { name: 'resnet18', width: 16 }, augment };

const daemon = new Daemon(binary);
let browser;
let page;
let curl; // the command that the empty page shows
const complaints = []; // what the page should never say: errors in scripts, what the content policy refused

async function newPage(options) {
  const opened = await browser.newPage({ viewport: { width: 1280, height: 900 }, colorScheme: 'light', ...options });
  opened.on('pageerror', (error) => complaints.push(error.message));
  opened.on('console', (message) => {
    if (message.type() === 'error' && !message.text().startsWith('Failed to load resource'))
      complaints.push(message.text());
  });
  return opened;
}

const row = (id) => page.locator(`tr[data-job="${id}"]`);
const select = (id) => row(id).locator('a').click();
const stepOf = (text) => Number(/step ([\d,]+) of/.exec(text)?.[1].replaceAll(',', ''));
const until = (locator, text) => locator.filter({ hasText: text }).waitFor({ timeout: TRAIN_MS });
const points = async (title) => Number(await page.locator(`[data-chart="${title}"]`).getAttribute('data-points'));

// How many of a chart's pixels have the colour of a curve.
const painted = (title, curve) => page.locator(`[data-chart="${title}"] canvas`).evaluate((canvas, name) => {
  const wanted = getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
  const [r, g, b] = [1, 3, 5].map((at) => parseInt(wanted.slice(at, at + 2), 16));
  const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
  let count = 0;
  for (let i = 0; i < data.length; i += 4)
    count += Math.abs(data[i] - r) + Math.abs(data[i + 1] - g) + Math.abs(data[i + 2] - b) < 12 && data[i + 3] > 200 ? 1 : 0;
  return count;
}, curve);

async function allMapsLoaded(count) {
  await page.waitForFunction((n) => document.querySelectorAll('canvas[data-map="loaded"]').length === n, count, { timeout: 120_000 });
  const widths = await page.locator('.maps canvas').evaluateAll((maps) => maps.map((map) => map.width));
  assert.deepEqual(widths, Array(count).fill(SIZE * SCALE));
}

async function emptyPage() {
  await page.goto(daemon.url);
  await page.getByRole('heading', { name: 'No jobs yet' }).waitFor();
  curl = await page.locator('.empty pre').innerText();
  assert.ok(curl.startsWith(`curl ${daemon.url}api/v1/jobs`), curl);
}

async function rowAppears() {
  const job = await daemon.api('jobs', { kind: 'train', name: 'first light', seed: 1, params: picture ? GOOD : SMALL });

  await row(job.id).waitFor({ timeout: SHORT_MS });
  assert.match(await row(job.id).innerText(), /first light[^]*#1 · train · shapes[^]*(queued|starting|running)/);
  return job;
}

async function progressMoves(job) {
  await until(row(job.id), 'running');
  const progress = row(job.id).locator('.progress');
  const seen = new Set();
  const bars = new Set();
  const end = Date.now() + TRAIN_MS;

  while (seen.size < 2 && Date.now() < end) {
    const at = stepOf(await progress.innerText());
    if (at > 0) {
      seen.add(at);
      bars.add(await progress.locator('progress').evaluate((bar) => bar.value));
    }
    await sleep(100);
  }
  assert.ok(seen.size >= 2 && bars.size >= 2, `steps seen: ${[...seen]}`);
}

async function curvesGrow() {
  await page.locator('[data-chart="Loss"] canvas').waitFor({ timeout: TRAIN_MS });
  const before = await points('Loss');

  await page.waitForFunction((n) => Number(document.querySelector('[data-chart="Loss"]').dataset.points) > n, before,
    { timeout: TRAIN_MS });
  for (const title of ['Loss', 'Accuracy'])
    assert.ok(await painted(title, 'train') > 20, `${title} shows no curve`);
}

async function jobSucceeds(job) {
  await until(row(job.id), 'succeeded');
  const { latest, progress } = await daemon.api(`jobs/${job.id}`);

  await until(row(job.id), `${(100 * latest['test/accuracy']).toFixed(1)} % test`);
  assert.equal(progress.step, progress.steps);
  assert.equal(await row(job.id).locator('progress').evaluate((bar) => bar.value), 1);
  await page.locator('[data-chart="Accuracy"] .legend').filter({ hasText: 'test' }).waitFor({ timeout: SHORT_MS });
  assert.ok(await painted('Accuracy', 'test') > 20, 'no curve of the test accuracy');
}

async function heatMapsLoad() {
  await allMapsLoaded(IMAGES * (STAGES + 1));
  const different = await page.evaluate((stages) => {
    const pixels = (map) => map.getContext('2d').getImageData(0, 0, map.width, map.height).data.join();
    const column = [...document.querySelectorAll('.maps tbody tr')].map((tr) => pixels(tr.querySelector('canvas')));
    return new Set(column).size === stages + 1;
  }, STAGES);
  assert.ok(different, 'the image and its maps at four layers are five different pictures');
}

async function verdictsAreTold(job) {
  const { items } = await daemon.api('datasets');
  const names = items.find(({ name }) => name === 'shapes').class_names;

  for (const image of [0, IMAGES - 1]) {
    const { headers } = await fetch(`${daemon.url}api/v1/jobs/${job.id}/heatmaps/${image}.png`);
    const [label, predicted] = ['Leased-Label', 'Leased-Predicted'].map((name) => names[Number(headers.get(name))]);
    const told = await page.locator('.maps thead .verdict').nth(image).innerText();
    assert.equal(told, label === predicted ? label : `${predicted}, not ${label}`);
  }
}

async function classesCompare() {
  await page.locator('select[name="by"]').selectOption('classes');
  await page.locator('select[name="layer"]').selectOption('layer4');
  const { items } = await daemon.api('datasets');
  const names = items.find(({ name }) => name === 'shapes').class_names;

  assert.deepEqual(await page.locator('.maps tbody th').allInnerTexts(), ['Image', ...names]);
  await allMapsLoaded(IMAGES * (names.length + 1));
  await page.locator('select[name="by"]').selectOption('layers');
  await page.getByRole('button', { name: 'Next' }).click();
  await page.locator('.maps thead').filter({ hasText: '15' }).waitFor();
  await page.getByRole('button', { name: 'Previous' }).click();
  await allMapsLoaded(IMAGES * (STAGES + 1));
}

async function gapsAreMarked(job) {
  const odd = await newPage({ colorScheme: 'dark' });
  const broken = ['NaN', 'NaN', 'Infinity', '-Infinity', null];

  await odd.route('**/metrics?*', async (route) => {
    const response = await route.fetch();
    const { series } = await response.json();
    for (const { key, points: list } of series)
      if (key === 'train/loss')
        broken.forEach((value, i) => { list[i + 5][1] = value; });
    await route.fulfill({ response, json: { series } });
  });
  await odd.goto(`${daemon.url}#/jobs/${job.id}`);
  const note = odd.locator('[data-chart="Loss"] .chart-note.error-text');
  await note.waitFor({ timeout: SHORT_MS });
  assert.match(await note.innerText(),
    /^train is NaN from step [\d,]+ to [\d,]+; train is Infinity at step [\d,]+; train is -Infinity at step [\d,]+ and 1 more$/);
  await odd.close();
}

async function pastedCommandIsCancelled() {
  const { stdout } = await promisify(execFile)('bash', ['-c', curl.replace('curl ', 'curl -fsS ')]);
  const { id } = JSON.parse(stdout);

  await row(id).waitFor({ timeout: SHORT_MS });
  await until(row(id), 'running');
  // By keyboard: the row's link, then the button and its question, which has the focus by itself.
  await row(id).locator('a').press('Enter');
  await page.locator(`[data-detail="${id}"]`).waitFor();
  await page.getByRole('button', { name: 'Cancel job' }).press('Enter');
  await page.locator('button:focus').filter({ hasText: 'Yes, cancel it' }).waitFor();
  await page.keyboard.press('Enter');
  await until(row(id), 'cancelled');
  assert.equal((await daemon.api(`jobs/${id}`)).state, 'cancelled');
  assert.equal(await page.getByRole('button', { name: 'Cancel job' }).count(), 0);
}

async function daemonGoesAndComesBack() {
  const banner = page.getByRole('alert').filter({ hasText: 'The daemon does not answer' });
  const before = await page.locator('tr[data-job]').count();

  assert.equal(await daemon.stop(), 0);
  await banner.waitFor({ timeout: SHORT_MS });
  assert.equal(await page.locator('tr[data-job]').count(), before, 'what is known stays');
  await daemon.start();
  await banner.waitFor({ state: 'detached', timeout: SHORT_MS });
  const job = await daemon.api('jobs', { kind: 'train', name: 'after the restart', params: { ...SMALL, epochs: 50 } });
  await row(job.id).waitFor({ timeout: SHORT_MS });
  await daemon.api(`jobs/${job.id}/cancel`, {});
}

async function narrowPageFits(job) {
  const narrow = await newPage({ viewport: { width: 400, height: 800 }, colorScheme: 'dark' });

  await narrow.goto(`${daemon.url}#/jobs/${job.id}`);
  await narrow.locator('canvas[data-map="loaded"]').first().waitFor({ timeout: SHORT_MS });
  assert.ok(await narrow.evaluate(() => document.documentElement.scrollWidth) <= 400, 'it has to be scrolled sideways');
  assert.equal(await narrow.locator('.jobs').getByRole('row').count(), await page.locator('.jobs tr').count(),
    'cards are still rows of a table');
  await narrow.close();
}

async function takePicture() {
  await page.reload();
  await allMapsLoaded(IMAGES * (STAGES + 1));
  await savePicture(page, picture);
}

// After a failure: who still answers, what the page shows, what the daemon said.
async function explain() {
  const within = (promise) => Promise.race([promise, sleep(3000, 'no answer in 3 s')]).catch((error) => error.message);

  console.log(`# daemon: exit ${daemon.child?.exitCode}, livez ${await within(fetch(`${daemon.url}livez`).then((r) => r.status))}`);
  console.log(`# page: ${JSON.stringify(await within(page?.evaluate(() => [document.visibilityState, document.body.innerText.slice(0, 300)])))}`);
  console.log(`# complaints: ${JSON.stringify(complaints)}`);
  console.log((await daemon.log()).slice(-1500).replace(/^/gm, '# '));
}

await tap(async () => {
  let job;

  await daemon.start();
  browser = await chromium.launch({ executablePath: chromiumPath, args: FLAGS, env: { ...process.env, HOME: daemon.folder } });
  page = await newPage();
  await step('an empty daemon says how to submit a job', emptyPage);
  await step('a submitted job appears in the list', async () => { job = await rowAppears(); });
  await step('its progress moves', () => progressMoves(job));
  await step('its curves grow while it runs', curvesGrow);
  await step('it succeeds, with the accuracy that the API says', () => jobSucceeds(job));
  await step('its heat maps load, a different one for each layer', heatMapsLoad);
  await step('every image says what the network takes it for', () => verdictsAreTold(job));
  await step('maps can be compared by class and paged', classesCompare);
  if (picture)
    await step(`a picture of the page is in ${picture}`, takePicture);
  await step('the command that the empty page shows works as pasted; the job is cancelled by keyboard', pastedCommandIsCancelled);
  await step('the page survives a daemon that goes away and comes back', daemonGoesAndComesBack);
  // Steps with a second page come last: afterwards the first one now and then gets neither news nor keys.
  await step('the page fits a narrow screen', () => narrowPageFits(job));
  await step('values that are not numbers are marked gaps', () => gapsAreMarked(job));
  await step('no script failed and the content policy refused nothing', () => assert.deepEqual(complaints, []));
}, async () => {
  if (process.exitCode)
    await explain();
  await browser?.close();
  await daemon.remove();
});

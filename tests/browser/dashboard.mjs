// dashboard.mjs LEASED BUNDLED -- the page in a real browser against the real daemon, as a user meets it: empty, a job, its curves, its
// heat maps, a cancelled job, a daemon that goes away and comes back.
//
// LEASED_SCREENSHOT=FILE.png trains a better model and keeps a picture of the page.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { savePicture } from './picture.mjs';
import { daemon, different, drawn, journey, mapsLoaded, page, row, SHORT_MS, TRAIN_MS, until, withPage } from './rig.mjs';
import { step } from './tap.mjs';

const picture = process.env.LEASED_SCREENSHOT;
const IMAGES = 8;
const STAGES = 4;
const SCALE = 4;
const SIZE = 32;

const augment = [{ name: 'crop', padding: 4 }, { name: 'flip' }];
const SMALL = { dataset: 'shapes', train_images: 1000, test_images: 100, epochs: 6, batch_size: 32,
  model: { name: 'resnet18', width: 8 }, augment };
const GOOD = { dataset: 'shapes', epochs: 8, optimizer: { name: 'sgd', lr: 0.05 }, model: { name: 'resnet18', width: 8 }, augment,
  timelapse: { images: [0, 1, 2, 3, 4, 5, 6], layer: 'layer3' } };

let curl; // the command that the empty page shows

async function allMapsLoaded(count) {
  await mapsLoaded(count);
  const widths = await page.locator('.maps canvas').evaluateAll((maps) => maps.map((map) => map.width));
  assert.deepEqual(widths, Array(count).fill(SIZE * SCALE));
}

/*
 * What the page shows while a job runs is gone when one looks a moment later, so that all of it is kept: the steps and the bars of its
 * row, and how many points the curves of the loss have.
 */
const watch = (id) => page.evaluate((job) => {
  const seen = { steps: new Set(), bars: new Set(), points: new Set(), over: false };
  const look = () => {
    const line = document.querySelector(`tr[data-job="${job}"]`);
    const step = /step ([\d,]+) of/.exec(line?.querySelector('.progress-text')?.textContent ?? '')?.[1];
    if (step !== undefined && step !== '0') {
      seen.steps.add(step);
      seen.bars.add(line.querySelector('progress').value);
    }
    const points = document.querySelector('[data-chart="Loss"]')?.dataset.points;
    if (points !== undefined)
      seen.points.add(points);
    seen.over = /succeeded|failed/.test(line?.querySelector('.state')?.textContent);
  };
  new MutationObserver(look).observe(document.body, { subtree: true, childList: true, characterData: true, attributes: true });
  window.seen = seen;
}, id);

async function seenTwice(what) {
  await page.waitForFunction((name) => window.seen[name].size >= 2 || window.seen.over, what, { timeout: TRAIN_MS });
  assert.ok(await page.evaluate((name) => window.seen[name].size, what) >= 2, `the job was over before the page showed two ${what}`);
}

async function emptyPage() {
  await page.goto(daemon.url);
  await page.getByRole('heading', { name: 'No jobs yet' }).waitFor();
  curl = await page.locator('.empty pre').innerText();
  assert.ok(curl.startsWith(`curl ${daemon.url}api/v1/jobs`), curl);
}

async function rowAppears() {
  // One thread, so that the page, which asks once a second, sees it run on fast machines, too.
  const job = await daemon.api('jobs', { kind: 'train', name: 'first light', seed: 1,
    ...(picture ? { params: GOOD } : { threads: 1, params: SMALL }) });

  await row(job.id).waitFor({ timeout: SHORT_MS });
  assert.match(await row(job.id).innerText(), /first light[^]*#1 · train · shapes[^]*(queued|starting|running)/);
  await watch(job.id);
  return job;
}

async function progressMoves() {
  await seenTwice('steps');
  await seenTwice('bars');
}

async function curvesGrow() {
  await seenTwice('points');
  for (const title of ['Loss', 'Accuracy'])
    await drawn(title, 'train');
}

async function jobSucceeds(job) {
  await until(row(job.id), 'succeeded');
  const { latest, progress } = await daemon.api(`jobs/${job.id}`);

  await until(row(job.id), `${(100 * latest['test/accuracy']).toFixed(1)} % test`);
  assert.equal(progress.step, progress.steps);
  assert.equal(await row(job.id).locator('progress').evaluate((bar) => bar.value), 1);
  await page.locator('[data-chart="Accuracy"] .legend').filter({ hasText: 'test' }).waitFor({ timeout: SHORT_MS });
  await drawn('Accuracy', 'test');
}

async function heatMapsLoad() {
  await allMapsLoaded(IMAGES * (STAGES + 1));
  assert.equal(await different('.maps tbody td:first-of-type canvas'), STAGES + 1, 'the image and its maps at four layers are different');
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
  await page.locator('[data-chooser="layer"] summary').click();
  await page.getByRole('checkbox', { name: /^layer4 / }).check();
  await page.getByRole('checkbox', { name: /^layer3 / }).uncheck();
  await page.keyboard.press('Escape');
  assert.equal(await page.locator('[data-chooser="layer"] .chosen').innerText(), 'layer4');
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

const gapsAreMarked = (job) => withPage({ colorScheme: 'dark' }, async (odd) => {
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
});

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

const narrowPageFits = (job) => withPage({ viewport: { width: 400, height: 800 }, colorScheme: 'dark' }, async (narrow) => {
  await narrow.goto(`${daemon.url}#/jobs/${job.id}`);
  await narrow.locator('canvas[data-map="loaded"]').first().waitFor({ timeout: SHORT_MS });
  assert.ok(await narrow.evaluate(() => document.documentElement.scrollWidth) <= 400, 'it has to be scrolled sideways');
  assert.equal(await narrow.locator('.jobs').getByRole('row').count(), await page.locator('.jobs tr').count(),
    'cards are still rows of a table');
});

async function takePicture() {
  await page.reload();
  await allMapsLoaded(IMAGES * (STAGES + 1));
  await page.waitForFunction((n) => document.querySelectorAll('.strip canvas[data-frame]:not([data-frame="none"])').length === n, GOOD.epochs);
  await savePicture(page, picture);
}

await journey(async () => {
  let job;

  await step('an empty daemon says how to submit a job', emptyPage);
  await step('a submitted job appears in the list', async () => { job = await rowAppears(); });
  await step('its progress moves', progressMoves);
  await step('its curves grow while it runs', curvesGrow);
  await step('it succeeds, with the accuracy that the API says', () => jobSucceeds(job));
  await step('its heat maps load, a different one for each layer', heatMapsLoad);
  await step('every image says what the network takes it for', () => verdictsAreTold(job));
  await step('maps can be compared by class and paged', classesCompare);
  if (picture)
    await step(`a picture of the page is in ${picture}`, takePicture);
  await step('the page fits a narrow screen', () => narrowPageFits(job));
  await step('values that are not numbers are marked gaps', () => gapsAreMarked(job));
  await step('the command that the empty page shows works as pasted; the job is cancelled by keyboard', pastedCommandIsCancelled);
  await step('the page survives a daemon that goes away and comes back', daemonGoesAndComesBack);
});

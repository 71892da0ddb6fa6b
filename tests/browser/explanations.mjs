// explanations.mjs LEASED BUNDLED -- what a network looks at, in a real browser against the real daemon: a time-lapse of its learning, maps
// by method, layer, epoch and network, two jobs side by side, a picture of one's own, and the quality of maps as numbers.
import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { daemon, different, journey, mapsLoaded, page, SHORT_MS, succeeded, TRAIN_MS, until, visit } from './rig.mjs';
import { step } from './tap.mjs';

const IMAGES = 8;
const EPOCHS = 3;
const DATA = { dataset: 'shapes', train_images: 400, test_images: 64 };
const SMALL = { ...DATA, model: { name: 'resnet18', width: 8 }, batch_size: 32, epochs: EPOCHS, checkpoint_every: 1,
  optimizer: { name: 'sgd', lr: 0.05 } };
const submit = (kind, name, params, seed = 1) => daemon.api('jobs', { kind, name, seed, params });
const api = (path) => fetch(`${daemon.url}api/v1/${path}`);
const rows = () => page.locator('.maps tbody th').allInnerTexts();
const choose = (name, value) => page.locator(`.heatmaps select[name="${name}"]`).selectOption(String(value));

// The same maps as one picture.
async function contactSheet() {
  const href = await page.getByRole('link', { name: 'Contact sheet' }).getAttribute('href');
  const { status, headers } = await fetch(new URL(href, daemon.url));
  assert.deepEqual([status, headers.get('content-type')], [200, 'image/png']);
}

async function timeLapse() {
  const { id } = await submit('train', 'watched', { ...SMALL, timelapse: { images: [0, 3], layer: 'layer3' } });

  await page.goto(`${daemon.url}#/jobs/${id}`);
  const film = page.locator('section').filter({ has: page.locator('#timelapse-title') });
  const at = (epoch) => film.locator(`[data-timelapse-epoch="${epoch}"]`).waitFor({ timeout: TRAIN_MS });
  await succeeded(id);
  await at(EPOCHS); // by itself: the page has been there since the beginning
  await film.locator('.strip canvas[data-frame="2"]').waitFor();
  await page.waitForFunction((n) => document.querySelectorAll('.strip canvas[data-frame]').length === n, EPOCHS);
  await page.waitForFunction(() => [...document.querySelectorAll('.strip canvas')].every(({ width }) => width === 128));
  assert.ok(await different('.strip canvas') > 1, 'every epoch looks the same');

  await film.locator('input[name="frame"]').focus();
  await page.keyboard.press('Home');
  await at(1);
  await film.getByRole('button', { name: 'Play' }).click();
  await at(2);
  await at(1); // it plays for ever
  await film.getByRole('button', { name: 'Pause' }).click();
  await film.locator('.tile').nth(1).click();
  const link = film.getByRole('link', { name: 'Image 3 as an animated PNG' });
  const bytes = Buffer.from(await (await fetch(new URL(await link.getAttribute('href'), daemon.url))).arrayBuffer());
  assert.ok(bytes.includes('acTL') && bytes.includes('fdAT'), 'no animated PNG');
  const { epochs, labels } = await (await api(`jobs/${id}/timelapse`)).json();
  assert.deepEqual((await film.locator('.strip li span:last-child').allInnerTexts()), epochs.map(({ epoch }) => String(epoch)));
  assert.equal(await film.locator('.strip li .error-text').count(),
    epochs.filter(({ predicted }) => predicted[1] !== labels[1]).length);
  return id;
}

async function mapsByMethod(id) {
  const { items } = await (await api('kinds')).json();
  const sources = items.find(({ name }) => name === 'explain').params.find(({ name }) => name === 'explanation').fields[0].choices;

  await mapsLoaded(IMAGES * 5);
  assert.equal(await page.locator('.heatmaps select[name="method"] option').count(),
    sources.filter((name) => !/^(fgsm|pgd)/.test(name)).length);
  await choose('method', 'eigencam');
  await mapsLoaded(IMAGES * 5);
  await choose('by', 'methods');
  await page.locator('.maps .refused').filter({ hasText: 'cam' }).waitFor(); // at layer3 there is no CAM: the daemon's words, once
  assert.equal(await page.locator('.maps .refused').count(), 1);
  const names = await rows();
  for (const name of ['Grad-CAM', 'Grad-CAM++', 'Eigen-CAM', 'Guided Grad-CAM', 'Input gradient\nof pixels'])
    assert.ok(names.includes(name), name);
  await mapsLoaded(IMAGES * (names.length - 1));
  await contactSheet();

  await choose('by', 'epochs');
  const { items: kept } = await (await api(`jobs/${id}/checkpoints`)).json();
  assert.deepEqual((await rows()).slice(1).map((head) => head.split('\n')[0]), kept.map(({ epoch }) => `epoch ${epoch}`).reverse());
  await mapsLoaded(IMAGES * (kept.length + 1));
  await contactSheet();
}

async function mapsAreAdjusted(id) {
  const first = () => page.locator('.maps tbody tr:nth-child(2) canvas').first().evaluate((canvas) => canvas.toDataURL());

  await choose('by', 'layers');
  await choose('method', 'gradcam');
  await mapsLoaded(IMAGES * 5);
  const seen = new Set([await first()]);
  const predicted = Number((await api(`jobs/${id}/heatmaps/0.png`)).headers.get('Leased-Predicted'));
  for (const change of [() => choose('colormap', 'jet'), () => page.locator('input[name="signed"]').check(),
    () => page.locator('input[name="flips"]').check(), () => choose('class', (predicted + 1) % 10)]) {
    await change();
    await mapsLoaded(IMAGES * 5);
    seen.add(await first());
  }
  assert.equal(seen.size, 5, 'a choice changes nothing');
  await page.locator('[data-chooser="layer"] summary').click();
  for (const layer of ['layer2', 'layer4'])
    await page.locator(`[data-chooser="layer"] input[value="${layer}"]`).check();
  assert.ok((await rows()).includes('layer2 + layer4\nfused'));
  await mapsLoaded(IMAGES * 6);
}

async function twoJobs(id) {
  const other = await submit('train', 'another seed', { ...SMALL, epochs: 1 }, 2);

  await succeeded(other.id);
  await until(page.locator(`tr[data-job="${other.id}"]`), 'succeeded');
  await page.reload();
  await page.locator('.maps').waitFor();
  await choose('by', 'jobs');
  await choose('other', other.id);
  await page.locator('input[name="signed"]').check(); // what is left of a map behind its ReLU may be nothing
  assert.deepEqual(await rows(), ['Image', `watched\njob ${id}`, `another seed\njob ${other.id}`]);
  await mapsLoaded(IMAGES * 3);
  assert.equal(await different('.maps tbody td:nth-child(2) canvas'), 3, 'two networks look at the same');
  await contactSheet();
  return other.id;
}

async function bothNetworks() {
  const { id } = await submit('lease', 'self-explanation', {
    ...DATA, train_images: 64, mode: 'staged', rounds: 1, epochs: 1, explanation: { steps: 1 },
    explainer: { channels: 8, cells: 5, space: 's3', batch_size: 16, epochs: 1 },
    audience: { model: { name: 'resnet18', width: 8 }, batch_size: 16, epochs: 1 },
  });

  await succeeded(id);
  await visit(`#/jobs/${id}`);
  await page.locator('.maps').waitFor();
  await choose('by', 'models');
  await page.locator('input[name="signed"]').check();
  assert.deepEqual(await rows(), ['Image', 'explainer', 'audience']);
  await mapsLoaded(IMAGES * 3);
  assert.equal(await different('.maps tbody td:nth-child(2) canvas'), 3);
  await contactSheet();
  await choose('by', 'layers');
  await choose('model', 'audience');
  await page.locator('.maps tbody th').filter({ hasText: 'layer1' }).waitFor(); // of the ResNet, no longer of the supernet
  await mapsLoaded(IMAGES * 5);
}

async function ownPicture(id) {
  const path = join(daemon.folder, 'mine.png');
  const bytes = Buffer.from(await (await api(`jobs/${id}/heatmaps/5.png?blend=0&scale=3`)).arrayBuffer());
  const form = page.locator('form').filter({ hasText: 'Ask a network' });

  await writeFile(path, bytes);
  await writeFile(`${path}.broken.png`, bytes.subarray(0, 200));
  await visit('#/explanations');
  await form.locator('select[name="job"]').selectOption(String(id));
  await form.locator('input[type="file"]').setInputFiles(`${path}.broken.png`);
  await form.getByRole('button', { name: 'Explain' }).click();
  await form.getByRole('alert').filter({ hasText: 'Not explained' }).waitFor();

  await form.locator('input[type="file"]').setInputFiles(path);
  await form.getByText('mine.png').waitFor();
  await form.locator('select[name="class"]').selectOption('4');
  await form.getByRole('button', { name: 'Explain' }).click();
  await page.locator('[data-explanation]').waitFor({ timeout: SHORT_MS });
  assert.equal(await form.getByRole('alert').count(), 0);
  const [{ id: made, prediction, class: asked, image }] = (await (await api('explanations')).json()).items;
  assert.ok(page.url().endsWith(`#/explanations/${made}`));
  assert.deepEqual([asked.class, image.width], [4, 96]);
  assert.deepEqual(await page.locator('.prediction li').allInnerTexts(),
    prediction.map(({ name, score }) => `${name}\n${(100 * score).toFixed(1)} %`));
  await page.waitForFunction(() => [...document.querySelectorAll('.answer img')].every(({ naturalWidth }) => naturalWidth === 256));
  await page.locator('.thumbnails li').first().waitFor();
  assert.equal(await page.locator('.thumbnails li').count(), 1);
}

async function qualityCompares(id) {
  const metrics = ['pointing_game', 'average_drop', 'road'];
  const quality = (method) => submit('quality', method, { ...DATA, checkpoint: { job: id }, images: 8, method, metrics });
  const ours = await quality('gradcam');
  const chance = await quality('random');
  const done = await succeeded(ours.id);

  await succeeded(chance.id);
  await visit(`#/jobs/${ours.id}`);
  await page.locator('.quality').waitFor();
  const text = (x) => (Number.isInteger(x) ? String(x) : String(Number(x.toPrecision(4))));
  const told = Object.entries(done.result.quality);
  assert.equal(told.length, 3);
  for (const [name, { mean, low, high }] of told)
    assert.deepEqual((await page.locator(`tr[data-measure="${name}"] td`).allInnerTexts()).slice(0, 2),
      [text(mean), `${text(low)} … ${text(high)}`]);
  await page.locator(`select[name="compare"] option[value="${chance.id}"]`).waitFor({ state: 'attached' });
  await page.locator('select[name="compare"]').selectOption(String(chance.id));
  await page.locator(`tr[data-measure="road"][data-job="${chance.id}"]`).waitFor();
  assert.equal(await page.locator('.quality tbody tr').count(), 6);
}

async function robustnessIsShown(id) {
  const attacks = [{ name: 'fgsm', eps: [0.01, 0.1] }];
  const { id: job } = await submit('robustness', 'under attack', { ...DATA, checkpoint: { job: id }, images: 32, attacks });
  const { result } = await succeeded(job);

  await visit(`#/jobs/${job}`);
  await page.locator('.quality').waitFor();
  assert.deepEqual(await page.locator('.quality td:nth-child(2)').allInnerTexts(),
    [result.clean, ...Object.values(result.robustness.fgsm)].map(({ mean }) => `${(100 * mean).toFixed(1)} %`));
}

await journey(async () => {
  let watched;

  await step('a time-lapse grows while a job learns, plays, and is an animated PNG', async () => { watched = await timeLapse(); });
  await step('maps are compared by method and by epoch; what a method cannot do is said once', () => mapsByMethod(watched));
  await step('colours, sign, flips, class and fused layers change the maps', () => mapsAreAdjusted(watched));
  await step('two jobs stand side by side', () => twoJobs(watched));
  await step('explainer and audience of a LeaSE stand side by side', bothNetworks);
  await step('a picture of one’s own is explained, a broken one refused beside its input', () => ownPicture(watched));
  await step('quality is a table with intervals, comparable across jobs', () => qualityCompares(watched));
  await step('robustness is a table of budgets', () => robustnessIsShown(watched));
});

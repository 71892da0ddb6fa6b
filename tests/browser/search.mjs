// search.mjs LEASED BUNDLED -- sweeps, searches, genotypes and LeaSE in a real browser against the real daemon: a named sweep is started
// and cancelled, one is read as a table, a search's alphas are looked through, its genotype is read, copied, compared and scored.
import assert from 'node:assert/strict';
import { daemon, drawn, journey, page, SHORT_MS, succeeded, TRAIN_MS, until, visit, withPage } from './rig.mjs';
import { step } from './tap.mjs';

const DATA = { dataset: 'shapes', train_images: 128, test_images: 32 };
const SPACE = { channels: 8, cells: 5, space: 's3_se_eca', batch_size: 16 };
const RESNET = { name: 'resnet18', width: 8 };
const submit = (kind, name, params) => daemon.api('jobs', { kind, name, seed: 1, params: { ...DATA, ...params } });
const title = (text) => page.getByRole('heading', { name: text }).first().waitFor();

async function namedSweep() {
  await page.goto(`${daemon.url}#/sweeps`);
  await page.getByText('None yet').waitFor();
  const form = page.locator('form').filter({ hasText: 'Start one' });
  await form.locator('select[name="preset"]').selectOption('seed-table2');
  await form.getByRole('button', { name: 'Start' }).click();
  await form.getByRole('alert').filter({ hasText: '/base/params/dataset' }).waitFor(); // this daemon has no cifar10
  assert.deepEqual((await daemon.api('sweeps')).items, []);

  await form.locator('select[name="preset"]').selectOption('seed-table1-tiny');
  await form.getByRole('button', { name: 'Start' }).click();
  await page.locator('[data-sweep-page]').waitFor();
  const [{ id }] = (await daemon.api('sweeps')).items;
  const { rows } = await daemon.api(`sweeps/${id}`);
  assert.match(page.url(), new RegExp(`#/sweeps/${id}$`));
  assert.equal(await page.locator('.results-table tbody tr').count(), rows.length);
  assert.ok((await page.locator('.results-table tbody').innerText()).includes(rows[0].label));

  await page.getByRole('button', { name: 'Cancel sweep' }).click();
  await page.getByRole('button', { name: 'Yes, cancel it' }).click();
  await until(page.locator('.detail-head'), 'cancelled');
  assert.equal((await daemon.api(`sweeps/${id}`)).state, 'cancelled');
}

const percent = (x) => (100 * x).toFixed(1);

async function sweepIsATable() {
  const { id } = await daemon.api('sweeps', {
    name: 'two rates', base: { kind: 'train', params: { ...DATA, model: RESNET, epochs: 1, batch_size: 32 } },
    list: [{ label: 'gentle', set: { '/params/optimizer/lr': 0.05 } }, { label: 'far too fast', set: { '/params/optimizer/lr': 1e6 } }],
    seeds: [0, 1],
  });

  await visit('#/sweeps');
  await until(page.locator(`tr[data-sweep="${id}"]`), /4 of 4 jobs · 2 failed/);
  await page.locator(`tr[data-sweep="${id}"] a`).click();
  const { rows } = await daemon.api(`sweeps/${id}`);
  const told = page.locator('.results-table tbody tr');
  await until(told.nth(0), `${percent(rows[0].mean)} ± ${percent(rows[0].sd)} %`);
  for (const [i, value] of rows[0].values.entries())
    assert.equal(await told.nth(0).locator(`[data-cell="${rows[0].jobs[i]}"]`).innerText(), `${percent(value)} %`);
  for (const job of rows[1].jobs)
    await until(told.nth(1).locator(`[data-cell="${job}"]`), 'failed');
  assert.equal(await told.nth(1).locator('td').last().innerText(), '2');
  await page.locator(`[data-cell="${rows[1].jobs[0]}"] a`).click();
  await page.locator(`[data-detail="${rows[1].jobs[0]}"] .note-bad`).waitFor();
  await page.getByRole('link', { name: `Sweep ${id}` }).waitFor();
}

async function searchIsFollowed() {
  const { id } = await submit('search', 'a search', { ...SPACE, epochs: 3, eigenvalue: true });

  await visit(`#/jobs/${id}`);
  const alphas = page.locator('[data-alphas]');
  await alphas.waitFor({ timeout: TRAIN_MS }); // while it runs, from its first epoch on
  const job = await succeeded(id);
  await page.locator('[data-alphas="3"]').waitFor();
  for (const [chart, colour] of [['Loss', 'train'], ['Entropy of the alphas', 'test'], ['Eigenvalue', 'val']])
    await drawn(chart, colour);

  const { cells } = await daemon.api(`jobs/${id}/alphas?epoch=3`);
  const [edge] = cells.normal.edges;
  const cell = alphas.locator('.heat-table').first();
  assert.equal(await cell.locator('tbody tr').count(), cells.normal.edges.length);
  assert.deepEqual((await cell.locator('tbody tr').first().locator('td').allInnerTexts()),
    [...edge.weights, ...(edge.share === null ? [] : [edge.share])].map((weight) => weight.toFixed(2)));
  await alphas.getByRole('link', { name: `genotype ${job.result.genotype}` }).waitFor();

  await page.locator('input[name="epoch"]').focus();
  await page.keyboard.press('Home');
  await page.locator('[data-alphas="1"]').waitFor();
  return job;
}

const oddAlphas = (id) => withPage({ colorScheme: 'dark' }, async (odd) => {
  await odd.route('**/alphas?*', async (route) => {
    const response = await route.fetch();
    const json = await response.json();
    Object.assign(json.cells.normal, { entropy: 'NaN' });
    json.cells.normal.edges[0].weights = json.cells.normal.edges[0].weights.map(() => 'NaN');
    await route.fulfill({ response, json });
  });
  await odd.goto(`${daemon.url}#/jobs/${id}`);
  await odd.locator('.heat-table td').filter({ hasText: 'NaN' }).first().waitFor();
  await odd.locator('#alphas-normal').filter({ hasText: 'entropy NaN' }).waitFor();
});

async function genotypeIsRead(job) {
  const { genotype: id } = job.result;

  await page.context().grantPermissions(['clipboard-read', 'clipboard-write'], { origin: new URL(daemon.url).origin });
  await page.getByRole('link', { name: `Genotype ${id}` }).click();
  await title(`Genotype ${id}`);
  const text = (await (await fetch(`${daemon.url}api/v1/genotypes/${id}?format=darts`)).text()).trim();
  await page.waitForFunction((wanted) => document.querySelector('textarea')?.value === wanted, text);
  await page.getByRole('button', { name: 'Copy' }).click();
  await page.getByText('Copied').waitFor();
  assert.equal(await page.evaluate(() => navigator.clipboard.readText()), text);
  await page.waitForFunction(() => document.querySelector('.drawing')?.naturalWidth > 0);
  assert.match(await page.getByRole('complementary').innerText(), new RegExp(`job ${job.id}\\s+epoch 3`));
}

async function genotypesCompare(job) {
  const { genotype: id } = job.result;
  const form = page.locator('form').filter({ hasText: 'Send one' });

  await page.getByRole('link', { name: 'All genotypes' }).click();
  await page.locator(`tr[data-genotype="${id}"]`).filter({ hasText: 'found by a search' }).waitFor();
  await form.locator('input').fill('Genotype(normal=[');
  await form.getByRole('button').click();
  await form.getByRole('alert').filter({ hasText: '/text' }).waitFor();
  await form.locator('input').fill('darts_v2');
  await form.getByRole('button').click();
  await page.locator('select[name="other"]').waitFor();
  const other = Number(await page.locator('[data-genotype-page]').getAttribute('data-genotype-page'));
  assert.ok(other !== id);
  await page.locator('select[name="other"]').selectOption(String(id));
  await page.locator(`[data-compared="${other} ${id}"]`).waitFor();
  const { common, normal } = await daemon.api(`genotypes/compare?a=${other}&b=${id}`);
  await page.getByText(`${common} of 16 edges in common`).waitFor();
  assert.equal(await page.locator('.columns').first().locator('div').first().locator('li').count(), normal.only_a.length);
}

async function genotypeIsScored(search) {
  const { id } = await submit('evalarch', 'scored',
    { genotype: search.result.genotype, channels: 4, cells: 3, epochs: 1, batch_size: 32, auxiliary: 0 });
  const { result } = await succeeded(id);

  await visit(`#/genotypes/${search.result.genotype}`);
  await until(page.getByRole('complementary'), `${percent(result.accuracy)} % test`, SHORT_MS);
  await page.getByRole('complementary').getByRole('link', { name: `job ${id}`, exact: true }).click();
  await page.locator(`[data-detail="${id}"]`).waitFor();
}

async function leaseHasFourCurves() {
  const { id } = await submit('lease', 'self-explanation', {
    mode: 'staged', rounds: 1, epochs: 2, explanation: { steps: 1 }, explainer: { ...SPACE, epochs: 1 },
    audience: { model: RESNET, batch_size: 16, epochs: 1 },
  });

  await succeeded(id);
  await visit(`#/jobs/${id}`);
  const chart = page.locator('[data-chart="Validation accuracy"]');
  await chart.waitFor();
  assert.deepEqual((await chart.locator('.legend li').allInnerTexts()).slice(0, 4).map((text) => text.replace(/ [\d.]+ %$/, '')),
    ['explainer, raw', 'explainer, reweighted', 'audience, raw', 'audience, reweighted']);
  for (const colour of ['val', 'test'])
    await drawn('Validation accuracy', colour);
  await page.locator('[data-alphas]').waitFor();
}

await journey(async () => {
  let search;

  await step('a named sweep is refused in the daemon’s words, started, and cancelled', namedSweep);
  await step('a sweep is a table: values, mean and deviation, what failed, and links to its jobs', sweepIsATable);
  await step('a search shows its alphas while it runs, and every epoch of them', async () => { search = await searchIsFollowed(); });
  await step('alphas that are not numbers are shown as they are', () => oddAlphas(search.id));
  await step('a genotype has a drawing, a text to copy and an origin', () => genotypeIsRead(search));
  await step('genotypes are sent and compared', () => genotypesCompare(search));
  await step('a genotype says what it scored', () => genotypeIsScored(search));
  await step('a LeaSE has curves of both networks on both kinds of images', leaseHasFourCurves);
});

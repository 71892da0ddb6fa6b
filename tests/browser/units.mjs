// Pure parts of the dashboard, without a browser: how values are written, where curves have gaps, what addresses and metrics mean.
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { skip, step, tap } from './tap.mjs';

const web = join(dirname(fileURLToPath(import.meta.url)), '../../web');
if (!existsSync(join(web, 'node_modules')))
  skip('web/node_modules is missing: npm --prefix web ci --ignore-scripts');

async function load(name) {
  const { build } = createRequire(join(web, 'package.json'))('esbuild');
  const { outputFiles } = await build({ absWorkingDir: web, entryPoints: [`src/${name}`], bundle: true, write: false, format: 'esm' });
  return import(`data:text/javascript;base64,${Buffer.from(outputFiles[0].contents).toString('base64')}`);
}

function job(change) {
  return { id: 7, kind: 'train', name: null, state: 'running', started_at: null, finished_at: null, latest: {}, progress: null, ...change };
}

await tap(async () => {
  const f = await load('format.ts');

  await step('numbers that JSON cannot say are read and written as they are', () => {
    assert.equal(f.toNumber('Infinity'), Infinity);
    assert.equal(f.toNumber('-Infinity'), -Infinity);
    assert.ok(Number.isNaN(f.toNumber('NaN')));
    assert.ok(Number.isNaN(f.toNumber(null)));
    assert.ok(Number.isNaN(f.toNumber(undefined)));
    assert.equal(f.percent('NaN'), 'NaN');
    assert.equal(f.number('Infinity'), 'Infinity');
  });

  await step('numbers keep four digits, percentages one', () => {
    assert.equal(f.number(1.20449), '1.204');
    assert.equal(f.number(5e-4), '0.0005');
    assert.equal(f.number(128), '128');
    assert.equal(f.percent(0.7312), '73.1 %');
    assert.equal(f.percent(undefined), '–');
    assert.equal(f.count(1234567), '1,234,567');
  });

  await step('durations say the two units that matter', () => {
    assert.deepEqual([0.2, 59.6, 312.4, 3 * 3600 + 245, 2 * 86400 + 5 * 3600].map(f.duration),
      ['0 s', '1 min 00 s', '5 min 12 s', '3 h 04 min', '2 d 5 h']);
  });

  await step('parameters read as one line', () => {
    assert.equal(f.parameter({ name: 'sgd', lr: 0.1, nesterov: true, clip: null }), 'sgd (lr 0.1, nesterov)');
    assert.equal(f.parameter([{ name: 'crop', padding: 4 }, { name: 'flip' }]), 'crop (padding 4), flip');
    assert.equal(f.parameter([{ match: 'fc.*', lr_scale: 2 }, { match: '*.bias', epochs: 3 }]), 'match fc.*, lr scale 2; match *.bias, epochs 3');
    assert.equal(f.parameter({ name: 'supernet', space: 's3', channels: 16 }), 'supernet (space s3, channels 16)');
    assert.equal(f.parameter([]), 'none');
    assert.equal(f.parameter({ job: 7, epoch: 'best' }), 'job 7, epoch best');
  });

  await step('progress is a fraction, and unknown before there are steps', () => {
    assert.equal(f.fraction(job({ progress: { epoch: 0, epochs: 2, step: 30, steps: 120, eta_seconds: 9 } })), 0.25);
    assert.equal(f.fraction(job({ state: 'succeeded' })), 1);
    assert.ok(Number.isNaN(f.fraction(job({}))));
  });

  await step('a running job says what is left, a finished one what it took', () => {
    assert.equal(f.timeText(job({ progress: { epoch: 0, epochs: 2, step: 30, steps: 120, eta_seconds: 75 } })), '1 min 15 s left');
    assert.equal(f.timeText(job({ state: 'failed', started_at: '2026-01-31T12:00:00.000Z', finished_at: '2026-01-31T12:00:42.100Z' })),
      'took 42 s');
    assert.equal(f.timeText(job({ state: 'queued' })), '–');
  });

  await step('validation accuracy comes before test, test before the last batch', () => {
    assert.deepEqual(f.accuracy(job({ latest: { 'train/accuracy': 0.9, 'test/accuracy': 0.8 } })), { split: 'test', value: 0.8 });
    assert.deepEqual(f.accuracy(job({ latest: { 'val/accuracy': 0.7, 'test/accuracy': 0.8 } })), { split: 'val', value: 0.7 });
    assert.equal(f.accuracy(job({})), null);
  });

  await step('means are written with their deviation where there is one', () => {
    assert.equal(f.spread('test/accuracy', 0.7131, 0.0124), '71.3 ± 1.2 %');
    assert.equal(f.spread('test/accuracy', 0.7131, null), '71.3 %');
    assert.equal(f.spread('test/loss', 1.20449, 0.0123), '1.204 ± 0.012');
    assert.equal(f.spread('test/accuracy', 'NaN', 'NaN'), 'NaN');
    assert.equal(f.spread('test/accuracy', null, null), '–');
    assert.equal(f.metric('search/eigenvalue', 'Infinity'), 'Infinity');
  });

  const { chartsOf, curvesOf } = await load('curves.ts');
  const point = (value, i) => [i + 1, value, 0];
  const titled = (kind, title) => chartsOf(kind).find((chart) => chart.title === title);

  await step('curves keep gaps, and say from where to where they go', () => {
    const [train, test] = curvesOf([
      { key: 'test/loss', total: 1, points: [[4, 0.5, 0]] },
      { key: 'train/loss', total: 9, points: [2, 'NaN', 'NaN', 1, 'Infinity', 'NaN'].map(point) },
      { key: 'train/accuracy', total: 1, points: [[1, 0.1, 0]] },
    ], titled('train', 'Loss').lines);

    assert.deepEqual(train.values, [2, null, null, 1, null, null]);
    assert.deepEqual(train.odd, [
      { from: 2, to: 3, what: 'NaN' }, { from: 5, to: 5, what: 'Infinity' }, { from: 6, to: 6, what: 'NaN' }]);
    assert.equal(train.total, 9);
    assert.deepEqual([test.label, test.values, test.odd], ['test', [0.5], []]);
  });

  await step('a LeaSE has four curves of each accuracy, raw ones dashed, and an unknown kind those of training', () => {
    const { lines } = titled('lease', 'Validation accuracy');

    assert.deepEqual(lines.map(({ key, dashed }) => [key, dashed]), [
      ['explainer/val/raw/accuracy', true], ['explainer/val/reweighted/accuracy', false],
      ['audience/val/raw/accuracy', true], ['audience/val/reweighted/accuracy', false]]);
    assert.deepEqual(chartsOf('one of tomorrow').map(({ title }) => title), ['Loss', 'Accuracy']);
    assert.ok(titled('search', 'Eigenvalue'));
  });

  await step('addresses name a view, what is shown in it, and what that is compared with', async () => {
    const { addressTo, routeOf } = await load('route.ts');

    assert.deepEqual(routeOf('#/genotypes/3/compare/5'), { view: 'genotypes', id: 3, other: 5 });
    assert.deepEqual(routeOf('#/sweeps'), { view: 'sweeps', id: null, other: null });
    for (const odd of ['', '#', '#/nothing/3', '#/jobs/x', '#/jobs/7/'])
      assert.deepEqual(routeOf(odd), { view: 'jobs', id: null, other: null }, odd);
    for (const args of [['jobs'], ['sweeps', 2], ['genotypes', 3, 5]])
      assert.equal(addressTo(...args), addressTo(...Object.values(routeOf(addressTo(...args))).map((part) => part ?? undefined)));
  });

  await step('the scale of intervals holds them all, and survives numbers that are none', async () => {
    const { scaleOf } = await load('parts.tsx');
    const interval = (value, low, high, points) => ({ value, low, high, points });

    assert.deepEqual(scaleOf([interval(0.2, 0.1, 0.3), interval(0.8, 0.7, 0.9)]), { from: 0, to: 1 });
    const { from, to } = scaleOf([interval(0.2, 0.15, 0.25, [0.1]), interval(0.3, NaN, NaN)]);
    assert.ok(from < 0.1 && from > 0 && to > 0.3 && to < 0.4);
    for (const bad of [[], [interval(NaN, NaN, NaN)], [interval(5, 5, 5)], [interval(Infinity, -Infinity, 1)]]) {
      const scale = scaleOf(bad);
      assert.ok(scale.to > scale.from && Number.isFinite(scale.to - scale.from), JSON.stringify(bad));
    }
  });

  await step('quality and robustness are read from the result, whatever is missing in it', async () => {
    const { measuresOf } = await load('quality.tsx');
    const [road, sanity, clean, attack, ...rest] = measuresOf({ result: {
      images: 16,
      quality: {
        road: { mean: 0.25, low: 0.2, high: 0.3, n: 16 }, sanity_randomisation: { mean: 0.1, low: 'NaN', high: null, passed: true },
      },
      clean: { mean: 0.9, low: 0.8, high: 1 }, robustness: { pgd_linf: { '0.0157': { mean: 'NaN' } } },
    } });

    assert.deepEqual([road.name, road.note, road.interval], ['ROAD', 'higher is better', { value: 0.25, low: 0.2, high: 0.3 }]);
    assert.equal(rest.length, 0);
    assert.deepEqual([sanity.note, sanity.verdict, sanity.interval], ['lower is better', 'passed', { value: 0.1, low: NaN, high: NaN }]);
    assert.deepEqual([clean.name, attack.name, attack.note, attack.share], ['as they are', 'pgd linf', 'eps 0.0157', true]);
    for (const result of [null, undefined, {}, { genotype: 3 }])
      assert.deepEqual(measuresOf({ result }), []);
  });

  await step('rows of heat maps ask for what they compare, and a contact sheet for the same', async () => {
    const { rowsOf, sheetOf, START } = await load('map_rows.ts');
    const layers = [['conv1', 32], ['layer1', 32], ['layer1.0', 32], ['layer2', 16], ['fc', 1]]
      .map(([name, h]) => ({ name, shape: [h, h, 8] }));
    const known = { job: job({}), layers, classes: ['disc', 'square'], methods: ['gradcam', 'scorecam', 'input_gradient'],
      kept: [{ epoch: 2, best: true, link: '' }, { epoch: 3, best: false, link: '' }], others: [job({ id: 9, name: 'other' })] };
    const said = (change) => {
      const view = { ...START, ...change };
      const rows = rowsOf(view, known);
      return [rows.map(({ head, job: of, query }) => [head, of, query.layer]),
        Object.fromEntries(new URLSearchParams(sheetOf(view, known, rows, [4, 5]).split('?')[1]))];
    };
    const common = { blend: '0.5', images: '4,5' };

    assert.deepEqual(said({}), [
      [['layer1', 7, 'layer1'], ['layer2', 7, 'layer2']],
      { ...common, method: 'gradcam', epoch: 'latest', by: 'layers', layers: 'layer1,layer2' }]);
    assert.deepEqual(said({ layers: ['layer1', 'layer2'] })[0].at(-1), ['layer1 + layer2', 7, 'layer1,layer2']);
    assert.equal(said({ layers: ['layer1', 'layer2'] })[1].layers, 'layer1,layer2', 'a sheet has no fused row');
    assert.deepEqual(said({ by: 'classes', layers: ['layer2'], signed: true })[1],
      { ...common, method: 'gradcam', epoch: 'latest', layer: 'layer2', signed: '1', by: 'classes', classes: '0,1' });
    const [methods, sheet] = said({ by: 'methods', layers: ['layer2'] });
    assert.deepEqual(methods, [['Grad-CAM', 7, 'layer2'], ['Input gradient', 7, undefined]], 'slow ones wait');
    assert.deepEqual([sheet.by, sheet.methods, sheet.layer], ['methods', 'gradcam,input_gradient', 'layer2']);
    assert.deepEqual(said({ by: 'epochs' })[1], { ...common, method: 'gradcam', by: 'epochs', epochs: '2,3' });
    const [jobs, beside] = said({ by: 'jobs', other: 9, classIndex: 1 });
    assert.deepEqual([jobs.map((row) => row[1]), beside.by, beside.other, beside.class], [[7, 9], 'models', '9', '1']);
    assert.deepEqual(said({ method: 'input_gradient' })[0], [['Input gradient', 7, undefined]]);
  });
});

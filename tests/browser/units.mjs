// Pure parts of the dashboard, without a browser: how values are written, where curves have gaps.
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

  await step('curves keep gaps, and say from where to where they go', async () => {
    const { curvesOf } = await load('curves.ts');
    const point = (value, i) => [i + 1, value, 0];
    const [train, test] = curvesOf([
      { key: 'test/loss', total: 1, points: [[4, 0.5, 0]] },
      { key: 'train/loss', total: 9, points: [2, 'NaN', 'NaN', 1, 'Infinity', 'NaN'].map(point) },
      { key: 'train/accuracy', total: 1, points: [[1, 0.1, 0]] },
    ], 'loss');

    assert.deepEqual(train.values, [2, null, null, 1, null, null]);
    assert.deepEqual(train.odd, [
      { from: 2, to: 3, what: 'NaN' }, { from: 5, to: 5, what: 'Infinity' }, { from: 6, to: 6, what: 'NaN' }]);
    assert.equal(train.total, 9);
    assert.deepEqual([test.label, test.values, test.odd], ['test', [0.5], []]);
  });
});

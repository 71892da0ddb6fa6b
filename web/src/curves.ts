// What a chart draws: which series of a kind of job belong together, and a series as a curve with gaps where a value is not a number.
import type { Num, Series } from './api';
import { number, percent, toNumber } from './format';

export interface Line {
  key: string; // of the metric
  label: string;
  colour: 'train' | 'val' | 'test';
  dashed?: boolean;
  thin?: boolean; // a point each step and not each epoch
}

export interface ChartSpec {
  title: string;
  format: (value: Num) => string;
  top?: number; // the scale's end; without it, what the values need
  lines: Line[];
}

const SPLITS = ['train', 'val', 'test'] as const;
const NETWORKS = [['explainer', 'val'], ['audience', 'test']] as const;

const bySplit = (metric: string): Line[] =>
  SPLITS.map((split) => ({ key: `${split}/${metric}`, label: split, colour: split, thin: split === 'train' }));

// Both networks of a `lease` on images as they are and as the explanations reweight them.
const byNetwork = (split: string, metric: string): Line[] => NETWORKS.flatMap(([network, colour]) =>
  ['raw', 'reweighted'].map((images): Line => (
    { key: `${network}/${split}/${images}/${metric}`, label: `${network}, ${images}`, colour, dashed: images === 'raw' })));

const LEARNING: ChartSpec[] = [
  { title: 'Loss', format: number, lines: bySplit('loss') },
  { title: 'Accuracy', format: percent, top: 1, lines: bySplit('accuracy') },
];

const ENTROPY: ChartSpec = {
  title: 'Entropy of the alphas', format: number,
  lines: [
    { key: 'search/entropy/normal', label: 'normal', colour: 'train' },
    { key: 'search/entropy/reduce', label: 'reduce', colour: 'test' },
  ],
};

const CHARTS: Record<string, ChartSpec[]> = {
  search: [...LEARNING, ENTROPY,
    { title: 'Eigenvalue', format: number, lines: [{ key: 'search/eigenvalue', label: 'dominant', colour: 'val' }] }],
  audience: [...LEARNING,
    { title: 'Validation accuracy by image', format: percent, top: 1, lines: byNetwork('val', 'accuracy').slice(2) }],
  lease: [
    { title: 'Validation accuracy', format: percent, top: 1, lines: byNetwork('val', 'accuracy') },
    { title: 'Validation loss', format: number, lines: byNetwork('val', 'loss') },
    { title: 'Test accuracy', format: percent, top: 1, lines: byNetwork('test', 'accuracy') },
    { title: 'Training loss', format: number,
      lines: NETWORKS.map(([network, colour]) => ({ key: `${network}/train/loss`, label: network, colour, thin: true })) },
    ENTROPY,
  ],
};

export const chartsOf = (kind: string) => CHARTS[kind] ?? LEARNING;

export interface Curve extends Line {
  total: number; // points there are; `steps` may hold fewer
  steps: number[];
  values: (number | null)[]; // null: a gap
  odd: Odd[]; // where the gaps are
}

// A run of points that are not numbers.
export interface Odd {
  from: number; // steps, both inside
  to: number;
  what: string; // "NaN", "Infinity", "-Infinity"
}

function oddRuns(steps: number[], values: number[]): Odd[] {
  const runs: Odd[] = [];
  let last: Odd | null = null; // the run that the previous point belongs to

  values.forEach((value, i) => {
    const step = steps[i] ?? 0;
    if (Number.isFinite(value)) {
      last = null;
    } else if (last && last.what === String(value)) {
      last.to = step;
    } else {
      last = { from: step, to: step, what: String(value) };
      runs.push(last);
    }
  });
  return runs;
}

// Of the lines that there are points of.
export function curvesOf(series: Series[], lines: Line[]): Curve[] {
  return lines.flatMap((line) => series.filter((s) => s.key === line.key && s.points.length > 0).map((s) => {
    const steps = s.points.map(([step]) => step);
    const values = s.points.map(([, value]) => toNumber(value));
    return {
      ...line, total: s.total, steps, values: values.map((value) => (Number.isFinite(value) ? value : null)), odd: oddRuns(steps, values),
    };
  }));
}

// The newest finite value at or before `step`.
export function valueAt(curve: Curve, step: number): { step: number; value: Num } | null {
  for (let i = curve.steps.length - 1; i >= 0; i--) {
    const at = curve.steps[i];
    const value = curve.values[i];
    if (at !== undefined && at <= step && value !== undefined && value !== null)
      return { step: at, value };
  }
  return null;
}

// What a chart draws: the API's series as curves with gaps where a value is not a number.
import type { Num, Series } from './api';
import { toNumber } from './format';

export interface Curve {
  label: string; // "train": also the name of its colour
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

const ORDER = ['train', 'val', 'test'];

export function curvesOf(series: Series[], metric: string): Curve[] {
  const found = ORDER.flatMap((split) => series.filter((s) => s.key === `${split}/${metric}` && s.points.length > 0));

  return found.map((s) => {
    const steps = s.points.map(([step]) => step);
    const values = s.points.map(([, value]) => toNumber(value));
    return {
      label: s.key.slice(0, s.key.indexOf('/')),
      total: s.total,
      steps,
      values: values.map((value) => (Number.isFinite(value) ? value : null)),
      odd: oddRuns(steps, values),
    };
  });
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

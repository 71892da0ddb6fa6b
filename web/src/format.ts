// How values are written on the page. Pure functions: no DOM, no clock but what is passed in.
import type { Job, Num } from './api';

const FINAL = new Set(['succeeded', 'failed', 'cancelled', 'early_stopped']);

// Nothing will happen to the job any more.
export const isFinal = (state: string) => FINAL.has(state);

// The number that the API meant: "NaN", "Infinity" and "-Infinity" come as strings; anything else is NaN.
export function toNumber(value: Num | undefined): number {
  return value === null || value === undefined || value === '' ? NaN : Number(value);
}

// 0.7312 -> "73.1 %"; not a number -> "NaN"; nothing known -> an en dash.
export function percent(value: Num | undefined): string {
  if (value === undefined || value === null)
    return '–';
  const x = toNumber(value);
  return Number.isFinite(x) ? `${(100 * x).toFixed(1)} %` : String(x);
}

// Four significant digits, without an exponent where that reads well: 0.05, 1.204, 0.0005, 1e-7.
export function number(value: Num | undefined): string {
  const x = toNumber(value);

  if (!Number.isFinite(x) || Number.isInteger(x))
    return String(x);
  return String(Number(x.toPrecision(4)));
}

// 12345 -> "12,345", whatever the browser's language: the page is in English.
export const count = (value: number) => Math.round(value).toLocaleString('en');

// Seconds as the two units that matter: "42 s", "5 min 12 s", "3 h 04 min", "2 d 5 h".
export function duration(seconds: number): string {
  const s = Math.max(0, Math.round(seconds));
  const pad = (x: number) => String(x).padStart(2, '0');

  if (s < 60)
    return `${s} s`;
  if (s < 3600)
    return `${Math.floor(s / 60)} min ${pad(s % 60)} s`;
  if (s < 86400)
    return `${Math.floor(s / 3600)} h ${pad(Math.floor((s % 3600) / 60))} min`;
  return `${Math.floor(s / 86400)} d ${Math.floor((s % 86400) / 3600)} h`;
}

// "2026-01-31T12:00:00Z" -> "31 Jan, 13:00:00" in the reader's time zone; "" for nothing.
export function clock(time: string | null): string {
  const date = new Date(time ?? NaN);

  if (Number.isNaN(date.getTime()))
    return '';
  return date.toLocaleString('en-GB', { day: 'numeric', month: 'short', hour: '2-digit', minute: '2-digit', second: '2-digit' });
}

// 0..1, or NaN where nothing is known: a job that succeeded is at 1 even if its last step was not reported.
export function fraction(job: Job): number {
  if (job.state === 'succeeded')
    return 1;
  return job.progress && job.progress.steps > 0 ? Math.min(1, job.progress.step / job.progress.steps) : NaN;
}

// How long the last attempt took; null while there is nothing to say.
export function took(job: Job): string | null {
  return job.started_at && job.finished_at && isFinal(job.state)
    ? duration((Date.parse(job.finished_at) - Date.parse(job.started_at)) / 1000) : null;
}

// What is left while it runs, what it took once it has ended.
export function timeText(job: Job): string {
  const eta = job.progress?.eta_seconds;
  const spent = took(job);

  if (spent !== null)
    return `took ${spent}`;
  return job.state === 'running' && typeof eta === 'number' && eta >= 0 ? `${duration(eta)} left` : '–';
}

export const title = (job: Job) => job.name || `${job.kind} ${job.id}`;

// The accuracy to show in one cell: validation selects, so it comes first; the training batch's is the last resort.
const ACCURACIES = ['val/accuracy', 'test/accuracy', 'train/accuracy'];

export function accuracy(job: Job): { split: string; value: Num } | null {
  for (const key of ACCURACIES) {
    const value = job.latest[key];
    if (value !== undefined)
      return { split: key.slice(0, key.indexOf('/')), value };
  }
  return null;
}

// A parameter as one line: {"name": "sgd", "lr": 0.1, "nesterov": true} -> "sgd (lr 0.1, nesterov)".
export function parameter(value: unknown): string {
  if (value === null || value === undefined || value === '')
    return 'none';
  if (typeof value === 'number')
    return number(value);
  if (typeof value === 'boolean')
    return value ? 'yes' : 'no';
  if (Array.isArray(value)) { // what has no name to begin with is told apart by a stronger mark
    const nameless = value.some((x) => typeof x === 'object' && x !== null && !('name' in x));
    return value.length === 0 ? 'none' : value.map(parameter).join(nameless ? '; ' : ', ');
  }
  if (typeof value !== 'object')
    return String(value);

  const { name, ...rest } = value as Record<string, unknown>;
  const fields = Object.entries(rest)
    .filter(([, x]) => x !== false && x !== null)
    .map(([key, x]) => (x === true ? words(key) : `${words(key)} ${parameter(x)}`))
    .join(', ');
  return typeof name !== 'string' ? fields : fields === '' ? name : `${name} (${fields})`;
}

// "batch_size" -> "batch size"
export const words = (key: string) => key.replaceAll('_', ' ');

// A value as its metric is read: accuracies and shares in percent, everything else as a number; nothing known is an en dash.
export const isShare = (key: string) => /accuracy$/.test(key);

export const metric = (key: string, value: Num | undefined) =>
  (isShare(key) ? percent(value) : value === undefined || value === null ? '–' : number(value));

// "71.3 ± 1.2 %": mean and standard deviation, the latter where there is one.
export function spread(key: string, mean: Num, sd: Num): string {
  const [x, s] = [toNumber(mean), toNumber(sd)];

  if (mean === null || sd === null || !Number.isFinite(x) || !Number.isFinite(s))
    return metric(key, mean);
  return isShare(key) ? `${(100 * x).toFixed(1)} ± ${(100 * s).toFixed(1)} %` : `${number(x)} ± ${Number(s.toPrecision(2))}`;
}

// A cell's states as papers and drawings write them: its two inputs, then its nodes.
export const stateName = (state: number) => ['c(k−2)', 'c(k−1)'][state] ?? String(state - 2);

// The part of the HTTP API that the dashboard reads: types of the JSON, and one function a route.
// Every address is relative to the page, so that it works behind a base path.

// JSON has no NaN: the daemon writes such numbers as "NaN", "Infinity", "-Infinity".
export type Num = number | string | null;

export interface Progress {
  epoch: number;
  epochs: number;
  step: number;
  steps: number;
  eta_seconds: number | null;
}

export interface Job {
  id: number;
  kind: string;
  preset?: string | null; // what it was laid over
  name: string | null;
  state: string;
  desired_state: string;
  reason: string | null;
  attempt: number;
  version: number;
  seed?: number;
  threads?: number;
  created_at: string;
  started_at: string | null;
  finished_at: string | null;
  resumed_step: number;
  progress: Progress | null;
  latest: Record<string, Num>;
  params: Record<string, unknown>;
}

export type Point = [step: number, value: Num, unixMs: number];

export interface Series {
  key: string;
  total: number;
  points: Point[];
}

export interface Layer {
  name: string;
  shape: number[]; // [H,W,C], or [C]
}

export interface Dataset {
  name: string;
  loading?: boolean; // it is being read, and the rest is not known yet
  class_names: string[];
  test_images: number;
}

export interface List<T> {
  items: T[];
  next: string | number | null;
}

// What went wrong, in the daemon's words. `status` 0: the daemon did not answer at all.
export class ApiError extends Error {
  readonly status: number;

  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }
}

const ROOT = 'api/v1/';
const TIMEOUT_MS = 10_000;
const JOBS_MAX = 100; // the newest ones; the API has the rest

async function request<T>(path: string, method = 'GET'): Promise<T> {
  let response: Response;
  let body: unknown;

  try {
    response = await fetch(ROOT + path, {
      method,
      headers: { Accept: 'application/json, application/problem+json' },
      signal: AbortSignal.timeout(TIMEOUT_MS),
    });
    body = await response.json().catch(() => null);
  } catch (error) {
    throw new ApiError(0, error instanceof Error ? error.message : String(error));
  }
  if (!response.ok) {
    const problem = (body ?? {}) as { title?: string; detail?: string };
    throw new ApiError(response.status, problem.detail ?? problem.title ?? `HTTP status ${response.status}`);
  }
  return body as T;
}

export const getJobs = () => request<List<Job>>(`jobs?limit=${JOBS_MAX}`);
export const getJob = (id: number) => request<Job>(`jobs/${id}`);
export const cancelJob = (id: number) => request<Job>(`jobs/${id}/cancel`, 'POST');
export const getDatasets = () => request<List<Dataset>>('datasets');
export const getSystem = () => request<Record<string, unknown>>('system');

export const getLayers = async (id: number) => (await request<{ items: Layer[] }>(`jobs/${id}/layers`)).items;

export const getMetrics = async (id: number, keys: readonly string[], maxPoints: number) =>
  (await request<{ series: Series[] }>(
    `jobs/${id}/metrics?keys=${keys.map(encodeURIComponent).join(',')}&max_points=${maxPoints}`)).series;

export interface MapQuery {
  layer?: string;
  classIndex?: number;
  blend?: number;
  scale: number;
}

export function mapUrl(id: number, image: number, query: MapQuery): string {
  const search = new URLSearchParams({ scale: String(query.scale) });

  if (query.layer !== undefined)
    search.set('layer', query.layer);
  if (query.classIndex !== undefined)
    search.set('class', String(query.classIndex));
  if (query.blend !== undefined)
    search.set('blend', String(query.blend));
  return `${ROOT}jobs/${id}/heatmaps/${image}.png?${search}`;
}

export interface HeatMap {
  picture: ImageBitmap;
  label: number | null; // the image's true class
  predicted: number | null;
}

// The picture, with what its headers say about it.
export async function getHeatMap(url: string): Promise<HeatMap> {
  const header = (name: string) => (response.headers.has(name) ? Number(response.headers.get(name)) : null);
  const response = await fetch(url, { signal: AbortSignal.timeout(TIMEOUT_MS * 3) });

  if (!response.ok)
    throw new ApiError(response.status, `HTTP status ${response.status}`);
  const picture = await createImageBitmap(await response.blob());
  return { picture, label: header('Leased-Label'), predicted: header('Leased-Predicted') };
}

export const jobUrl = (id: number) => `${ROOT}jobs/${id}`;
export const checkpointUrl = (id: number) => `${ROOT}jobs/${id}/checkpoints/latest`;

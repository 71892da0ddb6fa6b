// The part of the HTTP API that every view reads: types of the JSON, and one function a route. Its siblings are search_api.ts and
// explain_api.ts.
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
  sweep?: number | null; // the one that it is a cell of
  result?: Record<string, unknown> | null;
}

export type Point = [step: number, value: Num, unixMs: number];

export interface Series {
  key: string;
  total: number;
  points: Point[];
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

// What is wrong with one thing that was sent.
export interface FieldError {
  pointer: string; // "/params/epochs"
  detail: string;
}

// What went wrong, in the daemon's words. `status` 0: the daemon did not answer at all.
export class ApiError extends Error {
  readonly status: number;
  readonly fields: FieldError[];

  constructor(status: number, message: string, fields: FieldError[] = []) {
    super(message);
    this.status = status;
    this.fields = fields;
  }
}

export const asApiError = (thrown: unknown) =>
  (thrown instanceof ApiError ? thrown : new ApiError(0, thrown instanceof Error ? thrown.message : String(thrown)));

export const ROOT = 'api/v1/';
const TIMEOUT_MS = 10_000;
const JOBS_MAX = 100; // the newest ones; the API has the rest

// application/problem+json, or whatever stands between the page and the daemon says instead.
function problem(status: number, body: unknown): ApiError {
  const { title, detail, errors } = (body ?? {}) as { title?: string; detail?: string; errors?: FieldError[] };
  return new ApiError(status, detail ?? title ?? `HTTP status ${status}`, Array.isArray(errors) ? errors : []);
}

export interface Sent {
  method?: string;
  json?: unknown;
  form?: FormData;
  headers?: Record<string, string>;
  timeoutMs?: number;
}

export async function ask(path: string, { method, json, form, headers, timeoutMs }: Sent, accept: string): Promise<Response> {
  let response: Response;

  try {
    response = await fetch(ROOT + path, {
      method: method ?? (json === undefined && !form ? 'GET' : 'POST'),
      headers: { Accept: accept, ...headers, ...(json !== undefined && { 'Content-Type': 'application/json' }) },
      body: form ?? (json === undefined ? null : JSON.stringify(json)),
      signal: AbortSignal.timeout(timeoutMs ?? TIMEOUT_MS),
    });
  } catch (error) {
    throw asApiError(error);
  }
  if (!response.ok)
    throw problem(response.status, await response.json().catch(() => null));
  return response;
}

export async function request<T>(path: string, sent: Sent = {}): Promise<T> {
  const response = await ask(path, sent, 'application/json, application/problem+json');

  return response.json().catch((error: unknown) => { throw asApiError(error); }) as Promise<T>;
}

export const requestText = async (path: string) => (await ask(path, {}, 'text/plain, application/problem+json')).text();

export const getJobs = () => request<List<Job>>(`jobs?limit=${JOBS_MAX}`);
export const getJob = (id: number) => request<Job>(`jobs/${id}`);
export const cancelJob = (id: number) => request<Job>(`jobs/${id}/cancel`, { method: 'POST' });
export const getDatasets = () => request<List<Dataset>>('datasets');
export const getSystem = () => request<Record<string, unknown>>('system');

export const getMetrics = async (id: number, keys: readonly string[], maxPoints: number) =>
  (await request<{ series: Series[] }>(
    `jobs/${id}/metrics?keys=${keys.map(encodeURIComponent).join(',')}&max_points=${maxPoints}`)).series;

export const jobUrl = (id: number) => `${ROOT}jobs/${id}`;
export const checkpointUrl = (id: number) => `${ROOT}jobs/${id}/checkpoints/latest`;

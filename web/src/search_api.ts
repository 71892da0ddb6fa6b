// Sweeps, genotypes and alphas as the API tells them.
import { request, requestText, ROOT, type List, type Num } from './api';

export interface SweepItem {
  id: number;
  name: string;
  preset: string | null;
  state: string;
  metric: string;
  at: string;
  seeds: number[];
  cells: Record<string, number>; // jobs in each state
  created_at: string;
}

export interface SweepRow {
  label: string;
  settings: Record<string, unknown>; // JSON pointer -> what the row sets there
  jobs: number[]; // in the order of the seeds
  values: Num[];
  mean: Num;
  sd: Num;
  failed: number;
}

export interface Sweep extends SweepItem {
  rows: SweepRow[];
}

export interface SweepPreset {
  name: string;
  summary: string;
  sweep: { base?: { params?: Record<string, unknown> }; seeds?: number[]; list?: { label?: string }[] };
}

export const getSweeps = () => request<List<SweepItem>>('sweeps?limit=100');
export const getSweep = (id: number) => request<Sweep>(`sweeps/${id}`);
export const cancelSweep = (id: number) => request<Sweep>(`sweeps/${id}/cancel`, { method: 'POST' });
export const getSweepPresets = async () => (await request<{ sweeps: SweepPreset[] }>('presets')).sweeps;
export const sweepUrl = (id: number) => `${ROOT}sweeps/${id}`;

// `key`: the same one again starts nothing twice.
export const postSweep = (sweep: unknown, key: string) =>
  request<Sweep>('sweeps', { json: sweep, headers: { 'Idempotency-Key': key }, timeoutMs: 60_000 });

export type Edge = [candidate: string, state: number]; // pairs 2i and 2i + 1 feed state i + 2

export interface GenotypeItem {
  id: number;
  text: string;
  created_at: string;
  imported_at: string | null;
  source_count: number;
  score_count: number;
  accuracy: Num;
}

export interface Score {
  job: number;
  accuracy: Num;
  val_accuracy: Num;
  parameters: number;
  epochs: number;
}

export interface Genotype extends GenotypeItem {
  normal: Edge[];
  reduce: Edge[];
  sources: { job: number; epoch: number }[];
  scores: Score[];
  network: { channels: number; cells: number; parameters: number; macs: number };
}

export interface ComparedEdge {
  candidate: string;
  from: number;
  to: number;
}

export interface ComparedCell {
  common: ComparedEdge[];
  only_a: ComparedEdge[];
  only_b: ComparedEdge[];
}

export interface Comparison {
  normal: ComparedCell;
  reduce: ComparedCell;
  common: number; // edges that both have
  edges: number; // edges that one has
}

export const getGenotypes = (job = 0) => request<List<GenotypeItem>>(`genotypes?limit=200&job=${job}`);
export const getGenotype = (id: number) => request<Genotype>(`genotypes/${id}`);
export const getDartsText = (id: number) => requestText(`genotypes/${id}?format=darts`);
export const compareGenotypes = (a: number, b: number) => request<Comparison>(`genotypes/compare?a=${a}&b=${b}`);
export const postGenotype = (text: string) => request<Genotype>('genotypes', { json: { text } });
export const genotypeUrl = (id: number, format: string) => `${ROOT}genotypes/${id}?format=${format}`;

export interface AlphaEdge {
  node: number;
  input: number;
  candidates: string[];
  weights: Num[]; // softmax of the alphas
  share: Num; // softmax of the betas over the node's edges; null: the edges are not weighted
}

export interface AlphaCell {
  entropy: Num;
  edges: AlphaEdge[];
}

export interface Alphas {
  epoch: number;
  cells: { normal: AlphaCell; reduce: AlphaCell };
}

export const getAlphas = (job: number, epoch: number) => request<Alphas>(`jobs/${job}/alphas?epoch=${epoch}`);

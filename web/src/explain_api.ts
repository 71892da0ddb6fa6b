// Layers, heat maps and explanations as the API tells them.
import { ask, request, ROOT, type List, type Num } from './api';

export interface Layer {
  name: string;
  shape: number[]; // [H,W,C], or [C]
}

export const getLayers = async (id: number, model: string) =>
  (await request<{ items: Layer[] }>(`jobs/${id}/layers?model=${model}`)).items;

// What may be said about a heat map, by the names of the API.
type MapKey = 'layer' | 'class' | 'method' | 'model' | 'epoch' | 'split' | 'signed' | 'flips' | 'blend' | 'scale' | 'colormap';
export type MapQuery = Partial<Record<MapKey, string | number>>;

export const search = (query: object) =>
  String(new URLSearchParams(Object.entries(query).map(([key, value]) => [key, String(value)])));

export const mapPath = (job: number, image: number, query: MapQuery) => `jobs/${job}/heatmaps/${image}.png?${search(query)}`;

export interface HeatMap {
  picture: ImageBitmap;
  label: number | null; // the image's true class
  predicted: number | null;
  empty: boolean; // zero everywhere
}

const MAP_TIMEOUT_MS = 30_000;

// A picture, with what its headers say about it. `path` is relative to the API.
export async function getPicture(path: string): Promise<HeatMap> {
  const { headers, ...response } = await ask(path, { timeoutMs: MAP_TIMEOUT_MS }, 'image/png, application/problem+json')
    .then(async (answer) => ({ headers: answer.headers, blob: await answer.blob() }));
  const number = (name: string) => (headers.has(name) ? Number(headers.get(name)) : null);

  return {
    picture: await createImageBitmap(response.blob), label: number('Leased-Label'), predicted: number('Leased-Predicted'),
    empty: headers.get('Leased-Empty') === '1',
  };
}

export const addressOf = (path: string) => ROOT + path;
export const sheetUrl = (job: number, query: object) => `${ROOT}jobs/${job}/heatmaps/sheet.png?${search(query)}`;

// What is known here about methods: how papers write them, which explain pixels and take no layer, and which need many passes.
interface Method {
  title: string;
  pixels?: boolean;
  slow?: boolean;
}

const METHODS: Record<string, Method> = {
  gradcam: { title: 'Grad-CAM' },
  hirescam: { title: 'HiResCAM' },
  cam: { title: 'CAM' },
  gradcampp: { title: 'Grad-CAM++' },
  xgradcam: { title: 'XGrad-CAM' },
  layercam: { title: 'LayerCAM' },
  scorecam: { title: 'Score-CAM', slow: true },
  ablationcam: { title: 'Ablation-CAM', slow: true },
  eigencam: { title: 'Eigen-CAM' },
  guided_gradcam: { title: 'Guided Grad-CAM' },
  input_gradient: { title: 'Input gradient', pixels: true },
  smoothgrad: { title: 'SmoothGrad', pixels: true, slow: true },
  integrated_gradients: { title: 'Integrated gradients', pixels: true, slow: true },
  delta: { title: 'Attack’s delta', pixels: true, slow: true },
};

export const methodName = (name: string) => METHODS[name]?.title ?? name;
export const explainsPixels = (name: string) => METHODS[name]?.pixels === true;
export const isSlow = (name: string) => METHODS[name]?.slow === true;

interface Field {
  name: string;
  choices?: string[];
  fields?: Field[];
}

// The daemon's methods: what may be the source of an `explain` job, without the attacks.
export async function getMethods(): Promise<string[]> {
  const { items } = await request<{ items: { name: string; params: Field[] }[] }>('kinds');
  const explanation = items.find(({ name }) => name === 'explain')?.params.find(({ name }) => name === 'explanation');
  const sources = explanation?.fields?.find(({ name }) => name === 'source')?.choices ?? [];
  return sources.filter((name) => !/^(fgsm|pgd)/.test(name));
}

export interface Checkpoint {
  epoch: number; // 0: in the middle of one
  best: boolean;
  link: string | null; // null: no longer kept
}

// Of the epochs whose checkpoint is kept, the oldest first.
export const getCheckpoints = async (job: number) => (await request<List<Checkpoint>>(`jobs/${job}/checkpoints`)).items
  .filter(({ epoch, link }) => epoch > 0 && link !== null).reverse();

export interface ClassScore {
  class: number;
  name: string | null;
  score: number;
}

export interface Explanation {
  id: number;
  created_at: string;
  checkpoint: { job: number; epoch: number; model: string | null };
  image: { width: number; height: number };
  prediction: ClassScore[];
  class: ClassScore;
  method: string;
  layer: string | null;
  signed: boolean;
  flips: boolean;
  empty: boolean;
}

export interface ExplanationRequest {
  checkpoint: { job: number; epoch: string };
  model?: string;
  method: string;
  layer: string | null;
  class: number | null;
  signed: boolean;
  flips: boolean;
}

export const getExplanations = () => request<List<Explanation>>('explanations?limit=24');
export const getExplanation = (id: number) => request<Explanation>(`explanations/${id}`);
export const explanationUrl = (id: number, query: object) => `${ROOT}explanations/${id}.png?${search(query)}`;
export const explanationRawUrl = (id: number) => `${ROOT}explanations/${id}.npy`;

export function postExplanation(image: File, spec: ExplanationRequest): Promise<Explanation> {
  const form = new FormData();

  form.append('image', image);
  form.append('spec', JSON.stringify(spec));
  return request<Explanation>('explanations', { form, timeoutMs: 2 * MAP_TIMEOUT_MS });
}

export interface TimelapseEpoch {
  epoch: number;
  predicted: number[]; // of each image
  score: Num[];
}

export interface Timelapse {
  method: string;
  layer: string | null;
  images: number[]; // of the test split
  labels: number[]; // empty while there is no epoch
  epochs: TimelapseEpoch[];
}

export const getTimelapse = (job: number, query: { model?: string }) => request<Timelapse>(`jobs/${job}/timelapse?${search(query)}`);
export const timelapsePath = (job: number, image: number, query: object) => `jobs/${job}/timelapse/${image}.png?${search(query)}`;

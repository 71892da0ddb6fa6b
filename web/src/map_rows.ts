// What a table of heat maps compares: which rows it has, what each of them asks the API for, and the same as one contact sheet.
import type { Job } from './api';
import { explainsPixels, isSlow, methodName, sheetUrl, type Checkpoint, type Layer, type MapQuery } from './explain_api';
import { title } from './format';

export const SCALE = 4;
const CLASSES_MAX = 20;
const LAYERS_MAX = 6;

export const NETWORKS = ['explainer', 'audience'] as const; // of a `lease`

// What rows may vary, and the key of the API that does it.
const AXES = { layers: 'layer', classes: 'class', methods: 'method', epochs: 'epoch', models: 'model', jobs: 'model' } as const;
export type By = keyof typeof AXES;

export interface View {
  by: By;
  method: string;
  layers: string[]; // several are fused; none: the model's default
  classIndex: number; // -1: the predicted one
  epoch: string;
  model: string;
  other: number; // the job beside this one; 0: none yet
  slow: boolean; // with by = methods: also those that need many passes
  signed: boolean;
  flips: boolean;
  blend: number;
  colormap: string;
}

export const START: View = {
  by: 'layers', method: 'gradcam', layers: [], classIndex: -1, epoch: 'latest', model: 'explainer', other: 0, slow: false, signed: false,
  flips: false, blend: 0.5, colormap: 'viridis',
};

// What the inputs offer, and what the rows are made of.
export interface Known {
  job: Job;
  layers: Layer[];
  classes: string[];
  methods: string[];
  kept: Checkpoint[];
  others: Job[]; // with a network that sees the same images
}

export interface Row {
  head: string;
  note: string;
  what: string; // for the images' alternative text
  job: number;
  query: MapQuery;
}

export const keyOf = ({ job, query }: Row) => `${job} ${JSON.stringify(query)}`;

// Layers whose output is a picture; of these the stages ("layer3"), which stand for what is inside them ("layer3.1.conv2").
export const spatial = (layers: Layer[]) => layers.filter(({ shape }) => shape.length === 3 && (shape[0] ?? 0) * (shape[1] ?? 0) > 1);

export function stages(layers: Layer[]): Layer[] {
  const named = spatial(layers).filter(({ name }) => !name.includes('.'));
  const blocks = spatial(layers).filter(({ name }) => /^(layer|cells\.|block|stage)\d+$/.test(name));
  return (blocks.length > 0 ? blocks : named.length > 0 ? named : spatial(layers)).slice(-LAYERS_MAX);
}

function queryOf(view: View, method: string, { job }: Known): MapQuery {
  return {
    scale: SCALE, method, blend: view.blend, epoch: view.epoch,
    ...(view.layers.length > 0 && !explainsPixels(method) && { layer: view.layers.join() }),
    ...(view.classIndex >= 0 && { class: view.classIndex }),
    ...(job.kind === 'lease' && { model: view.model }),
    ...(view.signed && { signed: 1 }), ...(view.flips && { flips: 1 }),
    ...(view.colormap !== 'viridis' && { colormap: view.colormap }),
  };
}

export function rowsOf(view: View, known: Known): Row[] {
  const { job, layers, classes, methods, kept, others } = known;
  const chosen = classes[view.classIndex];
  const ofClass = chosen === undefined ? 'the predicted class' : `class ${chosen}`;
  const method = methodName(view.method);
  const query = queryOf(view, view.method, known);
  const row = (head: string, note: string, change: MapQuery): Row =>
    ({ head, note, what: `${method}, ${head}, for ${ofClass}`, job: job.id, query: { ...query, ...change } });

  switch (view.by) {
    case 'layers': { // each stage, and what was chosen beside them: a layer inside one, or several fused
      if (explainsPixels(view.method))
        return [row(method, 'of pixels', {})];
      const each = stages(layers).map(({ name, shape }) => row(name, shape.slice(0, 2).join(' × '), { layer: name }));
      const own = query.layer !== undefined && each.every((one) => one.query.layer !== query.layer);
      return own ? [...each, row(view.layers.join(' + '), view.layers.length > 1 ? 'fused' : '', {})] : each;
    }
    case 'classes':
      return classes.slice(0, CLASSES_MAX).map((name, i) => ({ ...row(name, '', { class: i }), what: `${method} for class ${name}` }));
    case 'methods':
      return methods.filter((name) => view.slow || !isSlow(name)).map((name) => ({
        ...row(methodName(name), explainsPixels(name) ? 'of pixels' : '', {}), what: `${methodName(name)} for ${ofClass}`,
        query: queryOf(view, name, known),
      }));
    case 'epochs':
      return kept.map(({ epoch, best }) => row(`epoch ${epoch}`, best ? 'best' : '', { epoch }));
    case 'models':
      return NETWORKS.map((model) => row(model, '', { model }));
    case 'jobs':
      return [job, ...others.filter(({ id }) => id === view.other)]
        .map((one) => ({ ...row(title(one), `job ${one.id}`, {}), job: one.id }));
  }
}

// The same rows as one picture, as the daemon draws it.
export function sheetOf(view: View, known: Known, rows: Row[], images: number[]): string {
  const { by, method, other } = view;
  const { scale: _scale, [AXES[by]]: _axis, ...said } = queryOf(view, method, known);
  const list = rows.map(({ query }) => String(query[AXES[by]] ?? '')).filter((one) => !one.includes(','));
  const axis = by === 'jobs' ? { by: 'models', other } : by === 'models' ? { by }
    : by === 'layers' && explainsPixels(method) ? { by: 'methods', methods: method } : { by, [by]: list.join() };

  return sheetUrl(known.job.id, { ...said, ...axis, images: images.join() });
}

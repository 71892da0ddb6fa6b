// Heat maps of a finished job: a column for each test image; the image itself first, then a map for each layer or class.
import { useEffect, useRef, useState } from 'preact/hooks';
import { ApiError, getHeatMap, getLayers, mapUrl, type Dataset, type HeatMap, type Job, type Layer, type MapQuery } from './api';
import { count } from './format';
import { usePolled } from './poll';

const IMAGES = 8;
const SCALE = 4;
const LAYERS_MAX = 6;
const CLASSES_MAX = 20;

/*
 * The daemon computes maps one after another and answers 503 when its queue is full; and a browser opens only
 * six connections, which the polling shares. So at most LOADS_MAX images load at a time, and a refused one is asked for again.
 */
const LOADS_MAX = 3;
const TRIES_MAX = 6;
const waiting: (() => void)[] = [];
let loading = 0;

async function load(src: string, isGone: () => boolean): Promise<HeatMap | null> {
  if (loading < LOADS_MAX)
    loading++;
  else
    await new Promise<void>((resolve) => waiting.push(resolve)); // takes over the place of one that ended
  try {
    for (let tries = 1; tries <= TRIES_MAX && !isGone(); tries++) {
      try {
        return await getHeatMap(src);
      } catch (error) {
        if (error instanceof ApiError && error.status !== 0 && error.status !== 503)
          return null; // the answer would be the same
      }
      await new Promise((resolve) => setTimeout(resolve, 400 * tries));
    }
    return null;
  } finally {
    const next = waiting.shift();
    if (next)
      next();
    else
      loading--;
  }
}

/*
 * A canvas and not an <img>: the headers of the answer are wanted too, and the content policy allows no data: or blob: addresses.
 * Mounted anew for each address: its caller's `key` holds the address.
 */
function MapImage({ src, alt, onLoad }: { src: string; alt: string; onLoad: (map: HeatMap) => void }) {
  const canvas = useRef<HTMLCanvasElement>(null);
  const [state, setState] = useState<'loading' | 'loaded' | 'failed'>('loading');

  useEffect(() => {
    let gone = false;

    void load(src, () => gone).then((map) => {
      if (gone)
        return;
      if (map && canvas.current) {
        canvas.current.width = map.picture.width;
        canvas.current.height = map.picture.height;
        canvas.current.getContext('2d')?.drawImage(map.picture, 0, 0);
        onLoad(map);
      }
      setState(map ? 'loaded' : 'failed');
    });
    return () => { gone = true; };
  }, []);
  return (
    <span class="map">
      <canvas ref={canvas} role="img" aria-label={state === 'failed' ? `${alt}: not loaded` : alt} data-map={state}
        hidden={state !== 'loaded'} />
      {state === 'failed' && 'not loaded'}
    </span>
  );
}

// Layers whose output is a picture: the stages ("layer3") before what is inside them ("layer3.1.conv2").
const spatial = (layers: Layer[]) => layers.filter(({ shape }) => shape.length === 3 && (shape[0] ?? 0) * (shape[1] ?? 0) > 1);
const isStage = (layer: Layer) => !layer.name.includes('.');

function stages(layers: Layer[]): Layer[] {
  const named = spatial(layers).filter(isStage);
  const blocks = named.filter(({ name }) => /\d$/.test(name) && /^(layer|cells|block|stage)/.test(name));
  return (blocks.length > 0 ? blocks : named.length > 0 ? named : spatial(layers)).slice(-LAYERS_MAX);
}

interface Row {
  id: string;
  head: string;
  note: string;
  what: string; // for the images' alternative text
  query: MapQuery;
}

interface Choice {
  by: 'layers' | 'classes';
  layer: string;
  classIndex: number; // -1: the predicted one
}

function rowsOf(choice: Choice, layers: Layer[], classes: string[]): Row[] {
  const image: Row = { id: 'image', head: 'Image', note: '', what: 'Test split', query: { blend: 0, scale: SCALE } };

  if (choice.by === 'classes')
    return [image, ...classes.slice(0, CLASSES_MAX).map((name, i): Row => ({
      id: `class ${i}`, head: name, note: '', what: `Heat map at ${choice.layer} for class ${name}`,
      query: { layer: choice.layer, classIndex: i, scale: SCALE },
    }))];

  const chosen = classes[choice.classIndex];
  return [image, ...stages(layers).map(({ name, shape }): Row => ({
    id: name, head: name, note: shape.slice(0, 2).join(' × '),
    what: `Heat map at ${name} for ${chosen === undefined ? 'the predicted class' : `class ${chosen}`}`,
    query: { layer: name, scale: SCALE, ...(choice.classIndex >= 0 && { classIndex: choice.classIndex }) },
  }))];
}

function Controls({ choice, layers, classes, onChange }:
  { choice: Choice; layers: Layer[]; classes: string[]; onChange: (choice: Choice) => void }) {
  return (
    <div class="controls">
      <label>Compare
        <select name="by" value={choice.by} onChange={(e) => onChange({ ...choice, by: e.currentTarget.value as Choice['by'] })}>
          <option value="layers">layers</option>
          {classes.length > 0 && <option value="classes">classes</option>}
        </select>
      </label>
      {choice.by === 'classes' ? (
        <label>Layer
          <select name="layer" value={choice.layer} onChange={(e) => onChange({ ...choice, layer: e.currentTarget.value })}>
            {spatial(layers).map(({ name }) => <option key={name} value={name}>{name}</option>)}
          </select>
        </label>
      ) : (
        <label>Class
          <select name="class" value={String(choice.classIndex)}
            onChange={(e) => onChange({ ...choice, classIndex: Number(e.currentTarget.value) })}>
            <option value="-1">predicted</option>
            {classes.map((name, i) => <option key={name} value={String(i)}>{name}</option>)}
          </select>
        </label>
      )}
    </div>
  );
}

// What the network takes the image for, and what it is where that is something else.
function Verdict({ map, classes }: { map: HeatMap | undefined; classes: string[] }) {
  if (map?.label == null || map.predicted == null)
    return null;
  const [is, seen] = [classes[map.label] ?? map.label, classes[map.predicted] ?? map.predicted];
  return map.label === map.predicted
    ? <span class="verdict">{seen}</span>
    : <span class="verdict error-text">{seen}, not {is}</span>;
}

function Pager({ from, total, onChange }: { from: number; total: number; onChange: (from: number) => void }) {
  return (
    <div class="pager" role="group" aria-label="Test images">
      <button type="button" disabled={from === 0} onClick={() => onChange(Math.max(0, from - IMAGES))}>Previous</button>
      <span class="muted">images {count(from)}–{count(Math.min(from + IMAGES, total) - 1)} of {count(total)}</span>
      <button type="button" disabled={from + IMAGES >= total} onClick={() => onChange(from + IMAGES)}>Next</button>
    </div>
  );
}

export function HeatMaps({ job, dataset }: { job: Job; dataset: Dataset | undefined }) {
  const layers = usePolled(`layers ${job.id}`, () => getLayers(job.id), () => true);
  const [chosen, setChosen] = useState<Choice>({ by: 'layers', layer: '', classIndex: -1 });
  const [from, setFrom] = useState(0);
  const [known, setKnown] = useState<Record<number, HeatMap>>({}); // by image: any of its maps says label and prediction
  const learn = (image: number, map: HeatMap) => setKnown((old) => (old[image] ? old : { ...old, [image]: map }));
  const all = layers.data ?? [];
  const names = spatial(all).map((layer) => layer.name);
  const fallback = names.includes('layer3') ? 'layer3' : stages(all).at(-1)?.name ?? '';
  const choice = { ...chosen, layer: chosen.layer || fallback };
  const classes = dataset?.class_names ?? [];
  const asked = Number(job.params['test_images']) || Infinity;
  const total = Math.min(asked, dataset?.test_images ?? IMAGES);
  const rows = rowsOf(choice, all, classes);
  const images = Array.from({ length: Math.max(0, Math.min(IMAGES, total - from)) }, (_, i) => from + i);

  if (names.length === 0)
    return layers.error ? <p class="card muted" role="status">No heat maps: {layers.error.message}</p> : null;
  return (
    <section class="card heatmaps" aria-labelledby="maps-title">
      <div class="heatmaps-head">
        <h3 id="maps-title">Heat maps <span class="muted">where the network looked: Grad-CAM</span></h3>
        <Controls choice={choice} layers={all} classes={classes} onChange={setChosen} />
      </div>
      <div class="table-scroll" tabIndex={0} role="region" aria-labelledby="maps-title">
        <table class="maps" aria-labelledby="maps-title">
          <thead>
            <tr>
              <th scope="col"><span class="hidden">Test image</span></th>
              {images.map((i) => <th key={i} scope="col">{i}<Verdict map={known[i]} classes={classes} /></th>)}
            </tr>
          </thead>
          <tbody>
            {rows.map(({ id, head, note, what, query }) => (
              <tr key={id}>
                <th scope="row">{head}{note !== '' && <span class="muted">{note}</span>}</th>
                {images.map((i) => {
                  const src = mapUrl(job.id, i, query);
                  return <td key={i}><MapImage key={src} src={src} alt={`${what}, image ${i}`} onLoad={(map) => learn(i, map)} /></td>;
                })}
              </tr>
            ))}
          </tbody>
        </table>
      </div>
      <Pager from={from} total={total} onChange={setFrom} />
    </section>
  );
}

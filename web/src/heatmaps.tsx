// Heat maps of a finished job: a column for each test image; the image itself first, then a map for each layer, class, method, epoch,
// network of a LeaSE, or of two jobs: whatever is compared.
import { useRef, useState } from 'preact/hooks';
import type { ApiError, Dataset, Job } from './api';
import { explainsPixels, getCheckpoints, getLayers, getMethods, mapPath, type HeatMap, type Layer } from './explain_api';
import { count, title } from './format';
import {
  Check, Choice, ClassChoice, EpochChoice, LayerChoice, LookChoice, MethodChoice, NETWORK_OPTIONS, TreatmentChoice,
} from './map_controls';
import { MapImage } from './map_image';
import { keyOf, rowsOf, SCALE, sheetOf, spatial, stages, START, type By, type Known, type Row, type View } from './map_rows';
import { Problem, Scroll } from './parts';
import { usePolled } from './poll';
import { addressTo } from './route';

const IMAGES = 8;

function Controls({ view, known, onChange }: { view: View; known: Known; onChange: (change: Partial<View>) => void }) {
  const { by } = view;
  const compared: [By, string, boolean][] = [
    ['layers', 'layers', true],
    ['classes', 'classes', known.classes.length > 0],
    ['methods', 'methods', known.methods.length > 1],
    ['epochs', 'epochs', known.kept.length > 1],
    ['models', 'explainer and audience', known.job.kind === 'lease'],
    ['jobs', 'two jobs', known.others.length > 0],
  ];
  return (
    <div class="controls">
      <Choice name="by" label="Compare" value={by} onChange={(value) => onChange({ by: value as By })}
        options={compared.filter(([, , there]) => there).map(([value, text]) => [value, text])} />
      {by === 'jobs' && (
        <Choice name="other" label="With" value={String(view.other)} onChange={(value) => onChange({ other: Number(value) })}
          options={[['0', 'choose a job'], ...known.others.map((job) => [String(job.id), `${title(job)} (${job.id})`] as const)]} />
      )}
      {by === 'methods' ? (
        <Check name="slow" value={view.slow} title="Those that take many passes through the network, too"
          onChange={(slow) => onChange({ slow })}>
          slow ones, too
        </Check>
      ) : <MethodChoice value={view.method} methods={known.methods} onChange={(method) => onChange({ method })} />}
      {(by === 'methods' || !explainsPixels(view.method)) && (
        <LayerChoice value={view.layers} layers={known.layers} onChange={(layers) => onChange({ layers })} />
      )}
      {by !== 'classes' && (
        <ClassChoice value={view.classIndex} classes={known.classes} onChange={(classIndex) => onChange({ classIndex })} />
      )}
      {by !== 'epochs' && known.kept.length > 1 && (
        <EpochChoice value={view.epoch} kept={known.kept} onChange={(epoch) => onChange({ epoch })} />
      )}
      {by !== 'models' && known.job.kind === 'lease' && (
        <Choice name="model" label="Network" value={view.model} options={NETWORK_OPTIONS} onChange={(model) => onChange({ model })} />
      )}
      <LookChoice blend={view.blend} colormap={view.colormap} onChange={onChange} />
      <TreatmentChoice signed={view.signed} flips={view.flips} onChange={onChange} />
    </div>
  );
}

type Classified = Pick<HeatMap, 'label' | 'predicted'>;

// What the network takes the image for, and what it is where that is something else.
function Verdict({ of, classes }: { of: Classified | undefined; classes: string[] }) {
  if (of?.label == null || of.predicted == null)
    return null;
  const [is, seen] = [classes[of.label] ?? of.label, classes[of.predicted] ?? of.predicted];
  return of.label === of.predicted
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

// A row of maps. Where the daemon refuses the first one, it refuses them all: its words stand there once.
function MapRow({ row, images, onLoad, onRefuse }:
  { row: Row; images: number[]; onLoad: (image: number, map: HeatMap) => void; onRefuse: () => void }) {
  const [error, setError] = useState<ApiError | null>(null);
  const refuse = (failure: ApiError) => {
    if (failure.status >= 400 && failure.status < 500) {
      setError(failure);
      onRefuse();
    }
  };
  return (
    <tr>
      <th scope="row">{row.head}{row.note !== '' && <span class="muted">{row.note}</span>}</th>
      {error ? <td class="refused" colSpan={images.length}><Problem error={error} lead="No maps" /></td> : images.map((i) => {
        const path = mapPath(row.job, i, row.query);
        return (
          <td key={i}>
            <MapImage key={path} path={path} alt={`${row.what}, image ${i}`} plain={row.query.blend === 0} onLoad={(map) => onLoad(i, map)}
              onFail={refuse} />
          </td>
        );
      })}
    </tr>
  );
}

function Maps({ known, total, onModel }: { known: Known; total: number; onModel: (model: string) => void }) {
  const { job, classes, layers } = known;
  const [view, setView] = useState<View>(START);
  const [from, setFrom] = useState(0);
  const [verdicts, setVerdicts] = useState<Record<string, Classified>>({}); // by network and image: any of its maps says them
  const [refused, setRefused] = useState<ReadonlySet<string>>(new Set()); // rows, by key
  const images = Array.from({ length: Math.max(0, Math.min(IMAGES, total - from)) }, (_, i) => from + i);
  const rows = rowsOf(view, known);
  const shown = rows.filter((row) => !refused.has(keyOf(row)));
  const network = view.by === 'epochs' || view.by === 'models' || view.by === 'jobs' ? '' : `${view.epoch} ${view.model}`;
  const learn = (image: number, { label, predicted }: HeatMap) =>
    setVerdicts((old) => (old[`${network} ${image}`] ? old : { ...old, [`${network} ${image}`]: { label, predicted } }));
  const image: Row = {
    head: 'Image', note: '', what: 'Test split', job: job.id,
    query: { scale: SCALE, blend: 0, ...(job.kind === 'lease' && { model: view.model }), ...(network !== '' && { epoch: view.epoch }) },
  };
  const fallback = spatial(layers).some(({ name }) => name === 'layer3') ? 'layer3' : stages(layers).at(-1)?.name ?? '';

  // Compared by layer, each stage has its row; by anything else one layer is compared, and two networks need not have the same ones.
  function change(part: Partial<View>): void {
    if (part.model !== undefined)
      onModel(part.model);
    setView((old) => {
      const layers = part.by === undefined && part.model === undefined ? old.layers
        : part.by === 'models' || part.model !== undefined || fallback === '' ? []
        : part.by === 'layers' ? (old.layers.length > 1 ? old.layers : []) : old.layers.length > 0 ? old.layers : [fallback];
      return { ...old, layers, ...part };
    });
  }

  return (
    <>
      <Controls view={view} known={known} onChange={change} />
      <Scroll labelledBy="maps-title">
        <table class="maps" aria-labelledby="maps-title">
          <thead>
            <tr>
              <th scope="col"><span class="hidden">Test image</span></th>
              {images.map((i) => (
                <th key={i} scope="col">{i}{network !== '' && <Verdict of={verdicts[`${network} ${i}`]} classes={classes} />}</th>
              ))}
            </tr>
          </thead>
          <tbody>
            {[image, ...rows].map((row) => (
              <MapRow key={`${from} ${keyOf(row)}`} row={row} images={images} onLoad={learn}
                onRefuse={() => setRefused((old) => new Set(old).add(keyOf(row)))} />
            ))}
          </tbody>
        </table>
      </Scroll>
      <div class="maps-foot">
        <Pager from={from} total={total} onChange={setFrom} />
        {(view.by !== 'jobs' || view.other !== 0) && <a href={sheetOf(view, known, shown, images)}>Contact sheet</a>}
        {view.by === 'jobs' && view.other !== 0 && <a href={addressTo('jobs', view.other)}>Job {view.other}</a>}
      </div>
    </>
  );
}

// Kinds that leave a network.
const TRAINS = new Set(['train', 'search', 'evalarch', 'audience', 'lease']);
export const hasNetwork = (job: Job) => TRAINS.has(job.kind) && (job.progress?.epoch ?? 0) > 0;

export function HeatMaps({ job, jobs, dataset }: { job: Job; jobs: Job[]; dataset: Dataset | undefined }) {
  const [model, setModel] = useState('explainer');
  const layers = usePolled(`layers ${job.id} ${model}`, () => getLayers(job.id, model), () => true);
  const shown = useRef<Layer[]>([]); // those of the other network stay until the layers of this one have come
  const kept = usePolled(`checkpoints ${job.id}`, () => getCheckpoints(job.id), () => true).data ?? [];
  const methods = usePolled('methods', getMethods, () => true).data ?? [];
  const asked = Number(job.params['test_images']) || Infinity;
  const total = Math.min(asked, dataset?.test_images ?? IMAGES);
  const others = jobs.filter((other) => other.id !== job.id && hasNetwork(other) && other.params['dataset'] === job.params['dataset']);

  shown.current = layers.data ?? shown.current;
  const known: Known = { job, layers: shown.current, classes: dataset?.class_names ?? [], methods, kept, others };

  if (spatial(known.layers).length === 0)
    return layers.error ? <p class="card muted" role="status">No heat maps: {layers.error.message}</p> : null;
  return (
    <section class="card heatmaps" aria-labelledby="maps-title">
      <h3 id="maps-title">Heat maps <span class="muted">where the network looked</span></h3>
      <Maps known={known} total={total} onModel={setModel} />
    </section>
  );
}

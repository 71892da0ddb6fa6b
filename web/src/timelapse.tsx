// The time-lapse of a job: where its network looks in a few test images, epoch by epoch. All images move together; of the chosen one all
// epochs stand side by side.
import { useEffect, useRef, useState } from 'preact/hooks';
import type { Dataset, Job } from './api';
import { addressOf, getTimelapse, methodName, timelapsePath, type Timelapse } from './explain_api';
import { isFinal } from './format';
import { Choice, NETWORK_OPTIONS } from './map_controls';
import { load } from './map_image';
import { Problem } from './parts';
import { usePolled } from './poll';

const GAP = 2; // pixels between the frames of a strip
const FRAME_MS = 250;

// Frames are drawn from strips: one request an image, and any epoch at once.
const SCALE = 4;
const SCALE_OF_MANY = 2;
const MANY = 60;

type Strips = ReadonlyMap<number, ImageBitmap>;

// The images' strips; those of fewer epochs stay until the new ones have come.
function useStrips(job: number, model: { model?: string }, data: Timelapse | null): Strips {
  const [strips, setStrips] = useState<Strips>(new Map());
  const count = data?.epochs.length ?? 0;

  useEffect(() => {
    let gone = false;

    for (const image of count > 0 ? data?.images ?? [] : []) {
      const path = timelapsePath(job, image, { as: 'strip', scale: count > MANY ? SCALE_OF_MANY : SCALE, ...model });
      load(path, () => gone).then(({ picture }) => {
        if (!gone)
          setStrips((old) => new Map(old).set(image, picture));
      }, () => {}); // the frame says that it is not loaded
    }
    return () => { gone = true; };
  }, [job, model.model, count]);
  return strips;
}

function Frame({ strip, index, count, alt }: { strip: ImageBitmap | undefined; index: number; count: number; alt: string }) {
  const canvas = useRef<HTMLCanvasElement>(null);

  useEffect(() => {
    if (!strip || !canvas.current)
      return;
    const width = (strip.width - GAP * (count - 1)) / count;
    if (!Number.isInteger(width))
      return; // of fewer epochs than are known by now
    canvas.current.width = width;
    canvas.current.height = strip.height;
    canvas.current.getContext('2d')?.drawImage(strip, index * (width + GAP), 0, width, strip.height, 0, 0, width, strip.height);
  }, [strip, index, count]);
  return <span class="map"><canvas ref={canvas} role="img" aria-label={alt} data-frame={strip ? index : 'none'} /></span>;
}

// Counts the frames while it plays; a hand on the slider stops it.
function usePlayer(count: number): { index: number; playing: boolean; play: (playing: boolean) => void; show: (index: number) => void } {
  const [chosen, setChosen] = useState<number | null>(null); // null: the newest
  const [playing, setPlaying] = useState(false);
  const index = Math.min(chosen ?? count - 1, count - 1);

  useEffect(() => {
    if (!playing)
      return undefined;
    const timer = window.setInterval(() => setChosen((old) => ((old ?? count - 1) + 1) % count), FRAME_MS);
    return () => window.clearInterval(timer);
  }, [playing, count]);
  return { index, playing, play: setPlaying, show: (i) => { setPlaying(false); setChosen(i === count - 1 ? null : i); } };
}

function Film({ job, data, model, classes }: { job: Job; data: Timelapse; model: { model?: string }; classes: string[] }) {
  const strips = useStrips(job.id, model, data);
  const count = data.epochs.length;
  const { index, playing, play, show } = usePlayer(count);
  const [chosen, setChosen] = useState(0);
  const image = data.images[chosen] ?? 0;
  const epoch = data.epochs[index]?.epoch ?? 0;

  // What the network takes image number `i` for at that epoch.
  function verdict(i: number, at: number): { text: string; right: boolean } {
    const [seen, is] = [data.epochs[at]?.predicted[i] ?? -1, data.labels[i] ?? -1];
    const name = (index: number) => classes[index] ?? `class ${index}`;
    return seen === is ? { text: name(seen), right: true } : { text: `${name(seen)}, not ${name(is)}`, right: false };
  }

  return (
    <>
      <div class="controls">
        <button type="button" onClick={() => play(!playing)} disabled={count < 2}>{playing ? 'Pause' : 'Play'}</button>
        <label class="slider">epoch <output>{epoch}</output>
          <input type="range" name="frame" min={0} max={count - 1} value={index} disabled={count < 2} aria-valuetext={`epoch ${epoch}`}
            onInput={(e) => show(e.currentTarget.valueAsNumber)} />
        </label>
      </div>
      <div class="tiles" role="group" aria-label="Images" data-timelapse-epoch={epoch}>
        {data.images.map((one, i) => {
          const { text, right } = verdict(i, index);
          return (
            <button key={one} type="button" class="tile" aria-pressed={i === chosen} onClick={() => setChosen(i)}>
              <Frame strip={strips.get(one)} index={index} count={count} alt={`Image ${one}, epoch ${epoch}`} />
              <span class={right ? 'verdict' : 'verdict error-text'}>{text}</span>
            </button>
          );
        })}
      </div>
      <div class="table-scroll" tabIndex={0} role="region" aria-label={`Image ${image}, epoch by epoch`}>
        <ol class="strip">
          {data.epochs.map((at, i) => (
            <li key={at.epoch} aria-current={i === index ? 'true' : undefined}>
              <Frame strip={strips.get(image)} index={i} count={count}
                alt={`Image ${image}, epoch ${at.epoch}: ${verdict(chosen, i).text}`} />
              <span class={verdict(chosen, i).right ? 'muted' : 'error-text'}>{at.epoch}</span>
            </li>
          ))}
        </ol>
      </div>
      <p class="links">
        <a href={addressOf(timelapsePath(job.id, image, model))}>Image {image} as an animated PNG</a>
        <a href={addressOf(timelapsePath(job.id, image, { as: 'strip', ...model }))}>as a strip</a>
      </p>
    </>
  );
}

// "Grad-CAM, layer3"
const of = ({ method, layer }: Timelapse) => `${methodName(method)}${layer === null ? '' : `, ${layer.replaceAll(',', ' + ')}`}`;

function Asked({ job, dataset }: { job: Job; dataset: Dataset | undefined }) {
  const [network, setNetwork] = useState('explainer');
  const model = job.kind === 'lease' ? { model: network } : {};
  const { data, error } = usePolled(`timelapse ${job.id} ${network}`, () => getTimelapse(job.id, model), () => isFinal(job.state));

  return (
    <section class="card heatmaps" aria-labelledby="timelapse-title">
      <div class="heatmaps-head">
        <h3 id="timelapse-title">
          Time-lapse <span class="muted">where the network looks as it learns{data && `: ${of(data)}`}</span>
        </h3>
        {job.kind === 'lease' && (
          <div class="controls">
            <Choice name="film-model" label="Network" value={network} options={NETWORK_OPTIONS} onChange={setNetwork} />
          </div>
        )}
      </div>
      <Problem error={error} lead="No time-lapse" />
      {data && data.epochs.length === 0 && <p class="muted">It starts with the first epoch’s end.</p>}
      {data && data.epochs.length > 0 && <Film key={network} job={job} data={data} model={model} classes={dataset?.class_names ?? []} />}
    </section>
  );
}

// Nothing where the job was asked for none.
export function TimeLapse({ job, dataset }: { job: Job; dataset: Dataset | undefined }) {
  const asked = job.params['timelapse'] as { images?: unknown[] } | null | undefined;

  return asked && (asked.images?.length ?? 0) > 0 ? <Asked job={job} dataset={dataset} /> : null;
}

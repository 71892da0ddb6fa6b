// Explanations of one's own pictures: a form that sends one to a network, what the network says of it and why, and what was sent before.
import { useState } from 'preact/hooks';
import type { Dataset, Job } from './api';
import {
  explainsPixels, explanationRawUrl, explanationUrl, getCheckpoints, getExplanation, getExplanations, getLayers, getMethods, methodName,
  postExplanation, type Explanation,
} from './explain_api';
import { clock, percent, title } from './format';
import { hasNetwork } from './heatmaps';
import { Choice, ClassChoice, EpochChoice, LayerChoice, LookChoice, MethodChoice, NETWORK_OPTIONS, TreatmentChoice } from './map_controls';
import { Problem, useAction } from './parts';
import { usePolled } from './poll';
import { addressTo } from './route';

const SCALE = 8;

const nameOf = ({ name, class: index }: { name: string | null; class: number }) => name ?? `class ${index}`;

function Ask({ networks, datasets, onDone }: { networks: Job[]; datasets: Dataset[]; onDone: () => void }) {
  const [chosen, setJob] = useState(0);
  const [epoch, setEpoch] = useState('latest');
  const [model, setModel] = useState('explainer');
  const [method, setMethod] = useState('gradcam');
  const [layers, setLayers] = useState<string[]>([]);
  const [classIndex, setClass] = useState(-1);
  const [treatment, setTreatment] = useState({ signed: false, flips: false });
  const [image, setImage] = useState<File | null>(null);
  const [over, setOver] = useState(false);
  const { busy, error, act } = useAction();
  const job = networks.find(({ id }) => id === chosen) ?? networks[0];
  const id = job?.id ?? 0;
  const known = usePolled(`ask ${id} ${model}`, async () => (id === 0 ? { layers: [], kept: [] } : {
    layers: await getLayers(id, model).catch(() => []), kept: await getCheckpoints(id),
  }), () => true).data;
  const methods = usePolled('methods', getMethods, () => true).data ?? [];
  const classes = datasets.find(({ name }) => name === job?.params['dataset'])?.class_names ?? [];

  if (!job)
    return <p class="muted">A picture can be sent once a job has left a network.</p>;

  function choose(next: string): void {
    setJob(Number(next));
    setEpoch('latest');
    setModel('explainer');
    setLayers([]);
    setClass(-1);
  }

  function submit(event: Event): void {
    event.preventDefault();
    act(async () => {
      if (!image)
        return;
      const made = await postExplanation(image, {
        checkpoint: { job: id, epoch }, method, layer: layers.length > 0 && !explainsPixels(method) ? layers.join() : null,
        class: classIndex < 0 ? null : classIndex, ...treatment, ...(job?.kind === 'lease' && { model }),
      });
      onDone();
      window.location.hash = addressTo('explanations', made.id);
    });
  }

  function drop(event: DragEvent): void {
    event.preventDefault();
    setOver(false);
    setImage(event.dataTransfer?.files[0] ?? image);
  }

  return (
    <form class="card form" onSubmit={submit} aria-labelledby="ask-title">
      <h3 id="ask-title">Ask a network about a picture</h3>
      <label class={over ? 'drop over' : 'drop'} onDrop={drop} onDragLeave={() => setOver(false)}
        onDragOver={(e) => { e.preventDefault(); setOver(true); }}>
        <span>{image ? <b>{image.name}</b> : <>Drop a PNG or JPEG here, or <u>choose one</u></>}</span>
        <input type="file" name="image" accept="image/png,image/jpeg" class="hidden"
          onChange={(e) => setImage(e.currentTarget.files?.[0] ?? null)} />
      </label>
      <div class="controls">
        <Choice name="job" label="Network of" value={String(id)} onChange={choose}
          options={networks.map((one) => [String(one.id), `${title(one)} (${one.id})`])} />
        {(known?.kept.length ?? 0) > 1 && <EpochChoice value={epoch} kept={known?.kept ?? []} onChange={setEpoch} />}
        {job.kind === 'lease' && <Choice name="model" label="Network" value={model} options={NETWORK_OPTIONS} onChange={setModel} />}
        <MethodChoice value={method} methods={methods} onChange={setMethod} />
        {!explainsPixels(method) && <LayerChoice value={layers} layers={known?.layers ?? []} onChange={setLayers} />}
        <ClassChoice value={classIndex} classes={classes} onChange={setClass} />
        <TreatmentChoice {...treatment} onChange={(change) => setTreatment({ ...treatment, ...change })} />
        <button type="submit" class="primary end" disabled={busy || !image}>{busy ? 'Explaining…' : 'Explain'}</button>
      </div>
      <Problem error={error} lead="Not explained" />
    </form>
  );
}

function Answer({ explanation: e }: { explanation: Explanation }) {
  const [look, setLook] = useState({ blend: 0.5, colormap: 'viridis' });
  const what = [`${methodName(e.method)}${e.layer ? ` at ${e.layer.replaceAll(',', ' + ')}` : ''}`,
    ...(e.signed ? ['signed'] : []), ...(e.flips ? ['flips'] : [])].join(', ');

  return (
    <section class="card answer" aria-labelledby="answer-title" data-explanation={e.id}>
      <div class="heatmaps-head">
        <h3 id="answer-title">{nameOf(e.prediction[0] ?? e.class)} <span class="muted">{what}, for {nameOf(e.class)}</span></h3>
        <div class="controls">
          <LookChoice {...look} onChange={(change) => setLook({ ...look, ...change })} />
        </div>
      </div>
      {e.empty && <p class="note" role="status">The map is zero everywhere: at this layer nothing speaks for this class.</p>}
      <div class="answer-body">
        <figure>
          <img src={explanationUrl(e.id, { scale: SCALE, blend: 0 })} alt="The picture as the network saw it" />
          <figcaption class="muted">as the network saw it; sent as {e.image.width} × {e.image.height}</figcaption>
        </figure>
        <figure>
          <img src={explanationUrl(e.id, { scale: SCALE, ...look })}
            alt={`Heat map over the picture: ${what}, for ${nameOf(e.class)}`} />
          <figcaption class="muted">where it looked</figcaption>
        </figure>
        <ol class="prediction" aria-label="Prediction">
          {e.prediction.map((one) => (
            <li key={one.class} class={one.class === e.class.class ? 'explained' : undefined}
              style={{ '--part': Number.isFinite(one.score) ? one.score : 0 }}>
              <span>{nameOf(one)}</span> <b>{percent(one.score)}</b>
            </li>
          ))}
        </ol>
      </div>
      <p class="links muted">
        <a href={addressTo('jobs', e.checkpoint.job)}>job {e.checkpoint.job}</a>
        <span>epoch {e.checkpoint.epoch}{e.checkpoint.model && <>, {e.checkpoint.model}</>}</span>
        <span>{clock(e.created_at)}</span>
        <a href={explanationRawUrl(e.id)}>raw map</a>
      </p>
    </section>
  );
}

function One({ id }: { id: number }) {
  const { data, error } = usePolled(`explanation ${id}`, () => getExplanation(id), () => true);
  return data ? <Answer explanation={data} /> : <Problem error={error} lead={`Explanation ${id} is not shown`} />;
}

export function Explanations({ id, jobs, datasets }: { id: number | null; jobs: Job[]; datasets: Dataset[] }) {
  const list = usePolled('explanations', getExplanations, () => true);
  const items = list.data?.items ?? [];

  return (
    <section class="stack" aria-labelledby="explanations-title">
      <h2 id="explanations-title">Explanations</h2>
      <Ask networks={jobs.filter(hasNetwork)} datasets={datasets} onDone={list.refresh} />
      {id !== null && <One key={id} id={id} />}
      {items.length > 0 && (
        <div class="card">
          <h3>Asked before</h3>
          <ul class="thumbnails">
            {items.map((item) => (
              <li key={item.id}>
                <a href={addressTo('explanations', item.id)} aria-current={item.id === id ? 'true' : undefined}>
                  <img src={explanationUrl(item.id, { scale: 2 })} alt="" loading="lazy" />
                  <span>{nameOf(item.prediction[0] ?? item.class)}</span>
                  <span class="muted">{methodName(item.method)}, job {item.checkpoint.job}</span>
                </a>
              </li>
            ))}
          </ul>
        </div>
      )}
      <Problem error={list.error} lead="What was asked before is not listed" />
    </section>
  );
}

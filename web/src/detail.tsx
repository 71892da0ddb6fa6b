// The selected job: what it is, its curves while it runs, its parameters, and its heat maps once it has ended.
import { useState } from 'preact/hooks';
import { ApiError, cancelJob, checkpointUrl, getJob, getMetrics, jobUrl, type Dataset, type Job } from './api';
import { Chart } from './charts';
import { curvesOf } from './curves';
import { clock, isFinal, number, parameter, percent, title, took, words } from './format';
import { HeatMaps } from './heatmaps';
import { State } from './jobs';
import { usePolled } from './poll';

const SPLITS = ['train', 'val', 'test'] as const;
const KEYS = SPLITS.flatMap((split) => [`${split}/loss`, `${split}/accuracy`]);
const MAX_POINTS = 500;

// The job first, its numbers after: numbers asked for once the job is known to have ended are complete.
async function ask(id: number) {
  const job = await getJob(id);
  return { job, series: await getMetrics(id, KEYS, MAX_POINTS) };
}

const focus = (element: HTMLElement | null) => element?.focus();

/* Two clicks, because what a cancelled job had not yet written is gone. */
function Cancel({ job, onDone }: { job: Job; onDone: () => void }) {
  const [asking, setAsking] = useState(false);
  const [error, setError] = useState('');
  const leaving = job.desired_state === 'cancelled' || job.state === 'stopping';

  async function cancel() {
    setAsking(false);
    try {
      await cancelJob(job.id);
      setError('');
    } catch (thrown) {
      setError(thrown instanceof ApiError ? thrown.message : String(thrown));
    }
    onDone();
  }

  return (
    <div class="cancel">
      {error !== '' && <span role="alert" class="error-text">Not cancelled: {error}</span>}
      {asking && !leaving ? (
        <>
          <button type="button" class="danger" onClick={() => void cancel()} ref={focus}>Yes, cancel it</button>
          <button type="button" onClick={() => setAsking(false)}>Keep it</button>
        </>
      ) : (
        <button type="button" disabled={leaving} onClick={() => setAsking(true)}>{leaving ? 'Cancelling…' : 'Cancel job'}</button>
      )}
    </div>
  );
}

// Kinds that leave a network.
const TRAINS = new Set(['train', 'search', 'evalarch', 'audience', 'lease']);

function Facts({ job }: { job: Job }) {
  const params = Object.entries(job.params);
  const facts: [string, string][] = [
    ['preset', job.preset ?? ''],
    ['created', clock(job.created_at)],
    ['started', clock(job.started_at)],
    ['finished', clock(job.finished_at)],
    ['took', took(job) ?? ''],
    ['seed', job.seed === undefined ? '' : String(job.seed)],
    ['threads', job.threads === undefined ? '' : String(job.threads)],
    ['attempt', job.attempt > 1 ? `${job.attempt}, from step ${job.resumed_step}` : ''],
  ];

  return (
    <aside class="card facts" aria-label="About this job">
      <h3>About</h3>
      <dl>
        {facts.filter(([, value]) => value !== '').map(([key, value]) => (
          <div key={key}><dt>{key}</dt><dd>{value}</dd></div>
        ))}
      </dl>
      <h3>Parameters</h3>
      <dl class="parameters">
        {params.map(([key, value]) => <div key={key}><dt>{words(key)}</dt><dd>{parameter(value)}</dd></div>)}
      </dl>
      <p class="links">
        <a href={jobUrl(job.id)}>JSON</a>
        {TRAINS.has(job.kind) && isFinal(job.state) && (job.progress?.epoch ?? 0) > 0 && <a href={checkpointUrl(job.id)}>Checkpoint</a>}
      </p>
    </aside>
  );
}

export function Detail({ id, datasets, onChange }: { id: number; datasets: Dataset[]; onChange: () => void }) {
  const polled = usePolled(`job ${id}`, () => ask(id), ({ job }) => isFinal(job.state));

  if (!polled.data) {
    if (polled.error?.status === 404)
      return <p class="card" role="status">There is no job {id}.</p>;
    return polled.error && polled.error.status > 0 ? <p class="card" role="alert">{polled.error.message}</p> : null;
  }

  const { job, series } = polled.data;
  const dataset = datasets.find((item) => item.name === job.params['dataset']);
  const refresh = () => {
    polled.refresh();
    onChange();
  };
  const loss = curvesOf(series, 'loss');
  const accuracies = curvesOf(series, 'accuracy');
  const drawn = [...loss, ...accuracies].some((curve) => curve.steps.length > 1);
  const latest = Object.entries(job.latest).filter(([key]) => key.startsWith('test/') || key.startsWith('val/'));

  return (
    <section class="detail" aria-labelledby="detail-title" data-detail={job.id}>
      <div class="detail-head">
        <h2 id="detail-title">{title(job)}</h2>
        <span aria-live="polite"><State job={job} /></span>
        {!isFinal(job.state) && <Cancel key={job.id} job={job} onDone={refresh} />}
      </div>
      {job.reason && <p class={job.state === 'failed' ? 'note note-bad' : 'note'} role="status">{job.reason}</p>}
      <div class="detail-body">
        <div class="detail-main">
          {drawn ? (
            <div class="charts">
              <Chart key={`loss ${job.id}`} title="Loss" curves={loss} format={number} />
              <Chart key={`accuracy ${job.id}`} title="Accuracy" curves={accuracies} format={percent} top={1} />
            </div>
          ) : latest.length > 0 ? (
            <dl class="card results">
              {latest.map(([key, value]) => (
                <div key={key}><dt>{key}</dt><dd>{key.endsWith('accuracy') ? percent(value) : number(value)}</dd></div>
              ))}
            </dl>
          ) : (
            <p class="card muted">{isFinal(job.state) ? 'This job reported no numbers.' : 'The curves start with the first numbers.'}</p>
          )}
          {isFinal(job.state) && TRAINS.has(job.kind) && (job.progress?.epoch ?? 0) > 0 &&
            <HeatMaps key={job.id} job={job} dataset={dataset} />}
        </div>
        <Facts job={job} />
      </div>
    </section>
  );
}

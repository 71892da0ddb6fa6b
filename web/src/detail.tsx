// The selected job: what it is, its curves while it runs, its parameters, and what it found: architecture, quality, heat maps.
import { cancelJob, checkpointUrl, getJob, getMetrics, jobUrl, type Dataset, type Job, type Series } from './api';
import { Architecture } from './alphas';
import { Chart } from './charts';
import { chartsOf, curvesOf } from './curves';
import { clock, isFinal, metric, parameter, title, took, words } from './format';
import { hasNetwork, HeatMaps } from './heatmaps';
import { JobState } from './jobs';
import { Cancel } from './parts';
import { usePolled } from './poll';
import { measuresOf, Quality } from './quality';
import { addressTo } from './route';
import { TimeLapse } from './timelapse';

const MAX_POINTS = 500;

// The job first, its numbers after: numbers asked for once the job is known to have ended are complete.
async function ask(id: number) {
  const job = await getJob(id);
  const keys = chartsOf(job.kind).flatMap(({ lines }) => lines.map(({ key }) => key)).filter((key) => key in job.latest);
  return { job, series: keys.length > 0 ? await getMetrics(id, keys, MAX_POINTS) : [] };
}

function Facts({ job }: { job: Job }) {
  const params = Object.entries(job.params);
  const genotype = job.result?.['genotype'];
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
        {hasNetwork(job) && isFinal(job.state) && <a href={checkpointUrl(job.id)}>Checkpoint</a>}
        {typeof genotype === 'number' && <a href={addressTo('genotypes', genotype)}>Genotype {genotype}</a>}
        {typeof job.sweep === 'number' && <a href={addressTo('sweeps', job.sweep)}>Sweep {job.sweep}</a>}
      </p>
    </aside>
  );
}

// Curves where there is something to draw, the last numbers where there is not.
function Numbers({ job, series }: { job: Job; series: Series[] }) {
  const charts = chartsOf(job.kind).map((chart) => ({ ...chart, curves: curvesOf(series, chart.lines) }))
    .filter(({ curves }) => curves.some((curve) => curve.steps.length > 1));
  const latest = Object.entries(job.latest).filter(([key]) => key.startsWith('test/') || key.startsWith('val/'));

  if (charts.length > 0)
    return <div class="charts">{charts.map((chart) => <Chart key={`${chart.title} ${job.id}`} {...chart} />)}</div>;
  if (latest.length > 0)
    return <dl class="card results">{latest.map(([key, value]) => <div key={key}><dt>{key}</dt><dd>{metric(key, value)}</dd></div>)}</dl>;
  return measuresOf(job).length > 0 ? null
    : <p class="card muted">{isFinal(job.state) ? 'This job reported no numbers.' : 'The curves start with the first numbers.'}</p>;
}

const SEARCHES = new Set(['search', 'lease']);

export function Detail({ id, jobs, datasets, onChange }: { id: number; jobs: Job[]; datasets: Dataset[]; onChange: () => void }) {
  const polled = usePolled(`job ${id}`, () => ask(id), ({ job }) => isFinal(job.state));

  if (!polled.data) {
    if (polled.error?.status === 404)
      return <p class="card" role="status">There is no job {id}.</p>;
    return polled.error && polled.error.status > 0 ? <p class="card" role="alert">{polled.error.message}</p> : null;
  }

  const { job, series } = polled.data;
  const dataset = datasets.find((item) => item.name === job.params['dataset']);
  const leaving = job.desired_state === 'cancelled' || job.state === 'stopping';
  const refresh = () => {
    polled.refresh();
    onChange();
  };

  return (
    <section class="detail" aria-labelledby="detail-title" data-detail={job.id}>
      <div class="detail-head">
        <h2 id="detail-title">{title(job)}</h2>
        <span aria-live="polite"><JobState job={job} /></span>
        {!isFinal(job.state) && <Cancel key={job.id} what="job" leaving={leaving} cancel={() => cancelJob(job.id)} onDone={refresh} />}
      </div>
      {job.reason && <p class={job.state === 'failed' ? 'note note-bad' : 'note'} role="status">{job.reason}</p>}
      <div class="detail-body">
        <div class="detail-main">
          <Numbers job={job} series={series} />
          <Quality key={`quality ${job.id}`} job={job} jobs={jobs} />
          <TimeLapse key={`timelapse ${job.id}`} job={job} dataset={dataset} />
          {SEARCHES.has(job.kind) && <Architecture key={`architecture ${job.id}`} job={job} />}
          {isFinal(job.state) && hasNetwork(job) && <HeatMaps key={`maps ${job.id}`} job={job} jobs={jobs} dataset={dataset} />}
        </div>
        <Facts job={job} />
      </div>
    </section>
  );
}

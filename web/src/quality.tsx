// What a `quality` or a `robustness` job measured, with its uncertainty, and beside it what others of its kind did.
import { useState } from 'preact/hooks';
import type { Job, Num } from './api';
import { methodName } from './explain_api';
import { count, number, percent, title, toNumber, words } from './format';
import { scaleOf, Scroll, Whisker, type Interval } from './parts';
import { addressTo } from './route';

// Which way is better, of the metrics that a reader may take the other way round.
const LOWER = new Set(['deletion_auc', 'average_drop', 'sanity_randomisation']);
const NAMES: Record<string, string> = {
  deletion_auc: 'deletion AUC', insertion_auc: 'insertion AUC', road: 'ROAD',
  sanity_randomisation: 'sanity check: likeness once randomised',
};

export interface Measure {
  key: string;
  name: string;
  note: string;
  share: boolean; // to be read in percent
  interval: Interval; // what is not known of it is NaN
  verdict: string; // of a check
}

interface Told {
  mean?: Num;
  low?: Num;
  high?: Num;
  passed?: boolean; // of the sanity check
}

const intervalOf = ({ mean, low, high }: Told): Interval => ({ value: toNumber(mean), low: toNumber(low), high: toNumber(high) });

// What the job's result says, in the daemon's order; nothing while it runs.
export function measuresOf({ result }: Pick<Job, 'result'>): Measure[] {
  const { quality = {}, clean, robustness = {} } = (result ?? {}) as
    { quality?: Record<string, Told>; clean?: Told; robustness?: Record<string, Record<string, Told>> };
  const verdictOf = ({ passed }: Told) => (passed === undefined ? '' : passed ? 'passed' : 'failed');

  return [
    ...Object.entries(quality).map(([key, told]): Measure => ({
      key, name: NAMES[key] ?? words(key), note: LOWER.has(key) ? 'lower is better' : 'higher is better', share: false,
      interval: intervalOf(told), verdict: verdictOf(told),
    })),
    ...(clean ? [{ key: 'clean', name: 'as they are', note: '', share: true, interval: intervalOf(clean), verdict: '' }] : []),
    ...Object.entries(robustness).flatMap(([attack, budgets]) => Object.entries(budgets).map(([eps, told]): Measure => ({
      key: `${attack} ${eps}`, name: words(attack), note: `eps ${number(eps)}`, share: true, interval: intervalOf(told), verdict: '',
    }))),
  ];
}

function nameOf(job: Job): string {
  const { method, layer } = job.params;
  return job.name || (typeof method === 'string' ? `${methodName(method)}${typeof layer === 'string' ? `, ${layer}` : ''}` : title(job));
}

function Rows({ measure, jobs }: { measure: Measure; jobs: Job[] }) {
  const found = jobs.map((job) => measuresOf(job).find(({ key }) => key === measure.key));
  const scale = measure.share ? { from: 0, to: 1 } : scaleOf(found.flatMap((one) => one?.interval ?? []));
  const text = measure.share ? percent : number;

  return (
    <>
      {jobs.map((job, i) => {
        const { interval, verdict = '' } = found[i] ?? {};
        const bounded = interval && Number.isFinite(interval.low) && Number.isFinite(interval.high);
        return (
          <tr key={job.id} class={i === 0 ? 'group' : undefined} data-measure={measure.key} data-job={job.id}>
            {i === 0 && (
              <th scope="rowgroup" rowSpan={jobs.length}>
                {measure.name}{measure.note !== '' && <span class="muted">{measure.note}</span>}
              </th>
            )}
            {jobs.length > 1 && <td><a href={addressTo('jobs', job.id)}>{nameOf(job)}</a></td>}
            <td class="number">
              {verdict !== '' && <span class={verdict === 'passed' ? 'passed' : 'error-text'}>{verdict} </span>}
              <b>{interval ? text(interval.value) : '–'}</b>
            </td>
            <td class="number muted">{bounded && `${text(interval.low)} … ${text(interval.high)}`}</td>
            <td class="wide">{interval && <Whisker interval={interval} scale={scale} />}</td>
          </tr>
        );
      })}
    </>
  );
}

export function Quality({ job, jobs }: { job: Job; jobs: Job[] }) {
  const [chosen, setChosen] = useState<number[]>([]);
  const others = jobs.filter((other) => other.id !== job.id && other.kind === job.kind && measuresOf(other).length > 0);
  const compared = [job, ...others.filter(({ id }) => chosen.includes(id))];
  const keys = new Map(compared.flatMap(measuresOf).map((measure) => [measure.key, measure]));
  const { images, left_out: leftOut = {} } = (job.result ?? {}) as { images?: number; left_out?: Record<string, string> };
  const left = others.filter(({ id }) => !chosen.includes(id));

  if (measuresOf(job).length === 0)
    return null;
  return (
    <section class="card" aria-labelledby="quality-title">
      <div class="heatmaps-head">
        <h3 id="quality-title">
          {job.kind === 'robustness' ? 'Accuracy under attack' : 'Quality'}
          <span class="muted">mean over {images === undefined ? 'the' : count(images)} images, and its 95 % interval</span>
        </h3>
        {others.length > 0 && (
          <div class="controls">
            <label>Compare with
              <select name="compare" value="" disabled={left.length === 0}
                onChange={(e) => { setChosen([...chosen, Number(e.currentTarget.value)]); }}>
                <option value="">choose a job</option>
                {left.map((other) => <option key={other.id} value={String(other.id)}>{nameOf(other)} ({other.id})</option>)}
              </select>
            </label>
            {chosen.length > 0 && <button type="button" onClick={() => setChosen([])}>This one alone</button>}
          </div>
        )}
      </div>
      <Scroll labelledBy="quality-title">
        <table class="list quality" aria-labelledby="quality-title">
          <thead>
            <tr>
              <th scope="col">Metric</th>
              {compared.length > 1 && <th scope="col">Job</th>}
              <th scope="col" class="number">Value</th>
              <th scope="col" class="number">Interval</th>
              <th scope="col" aria-label="drawn" />
            </tr>
          </thead>
          <tbody>{[...keys.values()].map((measure) => <Rows key={measure.key} measure={measure} jobs={compared} />)}</tbody>
        </table>
      </Scroll>
      {Object.entries(leftOut).map(([key, why]) => <p key={key} class="left-out muted">{NAMES[key] ?? words(key)}: left out, {why}</p>)}
    </section>
  );
}

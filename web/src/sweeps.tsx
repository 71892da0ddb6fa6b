// Sweeps: a table of jobs that differ in what one wants to know. The list with a form that starts a named one, and one sweep's results.
import { useState } from 'preact/hooks';
import type { Dataset, Job, List } from './api';
import { clock, count, metric, parameter, spread, toNumber, words } from './format';
import { Cancel, Problem, ProgressBar, scaleOf, Scroll, State, useAction, Whisker, type Interval, type Scale } from './parts';
import { usePolled } from './poll';
import { addressTo } from './route';
import {
  cancelSweep, getSweep, getSweepPresets, getSweeps, postSweep, sweepUrl, type Sweep, type SweepItem, type SweepRow,
} from './search_api';

const OVER = new Set(['succeeded', 'failed', 'cancelled']);
const OVER_CELL = ['succeeded', 'failed', 'cancelled', 'early_stopped'];

// "24 of 24 jobs · 1 failed"
function progressOf(sweep: SweepItem): { part: number; text: string } {
  const total = Object.values(sweep.cells).reduce((sum, n) => sum + n, 0);
  const over = OVER_CELL.reduce((sum, state) => sum + (sweep.cells[state] ?? 0), 0);
  const rest = Object.entries(sweep.cells).filter(([state, n]) => n > 0 && state !== 'succeeded' && state !== 'queued');

  return {
    part: total > 0 ? over / total : NaN,
    text: [`${over} of ${total} jobs`, ...rest.map(([state, n]) => `${n} ${words(state)}`)].join(' · '),
  };
}

/*
 * A random key goes with what the form holds, so that pressing twice, or again after an answer was lost, starts one sweep; it is renewed
 * by every success.
 */
function useKey(): { key: string; renew: () => void } {
  const make = () => Array.from(crypto.getRandomValues(new Uint32Array(4)), (word) => word.toString(16)).join('-');
  const [key, setKey] = useState(make);
  return { key, renew: () => setKey(make()) };
}

function Start({ datasets, onStart }: { datasets: Dataset[]; onStart: () => void }) {
  const presets = usePolled('sweep presets', getSweepPresets, () => true).data ?? [];
  const [name, setName] = useState('');
  const [dataset, setDataset] = useState('');
  const { key, renew } = useKey();
  const { busy, error, act } = useAction();
  const preset = presets.find((item) => item.name === name) ?? presets.find((item) => item.name.endsWith('-tiny')) ?? presets[0];
  const own = String(preset?.sweep.base?.params?.['dataset'] ?? '');
  const seeds = preset?.sweep.seeds?.length ?? 3;
  const rows = preset?.sweep.list?.length ?? 0;

  if (!preset)
    return null;

  const submit = (event: Event) => {
    event.preventDefault();
    act(async () => {
      const sweep = { preset: preset.name, ...(dataset !== '' && { base: { params: { dataset } } }) };
      const { id } = await postSweep(sweep, key);
      renew();
      onStart();
      window.location.hash = addressTo('sweeps', id);
    });
  };
  return (
    <form class="card form" onSubmit={submit} aria-labelledby="start-title">
      <h3 id="start-title">Start one</h3>
      <div class="controls">
        <label>Preset
          <select name="preset" value={preset.name} onChange={(e) => { setName(e.currentTarget.value); renew(); }}>
            {presets.map((item) => <option key={item.name} value={item.name}>{item.name}</option>)}
          </select>
        </label>
        <label>Data set
          <select name="dataset" value={dataset} onChange={(e) => { setDataset(e.currentTarget.value); renew(); }}>
            <option value="">{own === '' ? 'the preset’s' : own}</option>
            {datasets.filter((item) => item.name !== own).map((item) => <option key={item.name} value={item.name}>{item.name}</option>)}
          </select>
        </label>
        <button type="submit" class="primary" disabled={busy}>{busy ? 'Starting…' : 'Start'}</button>
      </div>
      <p class="muted">{preset.summary}{rows > 0 && <> · {rows} rows × {seeds} seeds</>}</p>
      <Problem error={error} lead="Not started" />
    </form>
  );
}

function SweepLine({ sweep }: { sweep: SweepItem }) {
  const { part, text } = progressOf(sweep);
  return (
    <tr data-sweep={sweep.id}>
      <th scope="row">
        <a href={addressTo('sweeps', sweep.id)}>{sweep.name || `sweep ${sweep.id}`}</a>
        <span class="muted">#{sweep.id}{sweep.preset && sweep.preset !== sweep.name && <> · {sweep.preset}</>}</span>
      </th>
      <td><State state={sweep.state} /></td>
      <td class="wide"><ProgressBar of={sweep.name} state={sweep.state} part={part} text={text} /></td>
      <td>{sweep.metric}</td>
      <td class="number">{clock(sweep.created_at)}</td>
    </tr>
  );
}

export function SweepList({ datasets }: { datasets: Dataset[] }) {
  const sweeps = usePolled<List<SweepItem>>('sweeps', getSweeps);
  const items = sweeps.data?.items;

  return (
    <section class="stack" aria-labelledby="sweeps-title">
      <h2 id="sweeps-title">Sweeps</h2>
      {items && items.length > 0 && (
        <Scroll labelledBy="sweeps-title">
          <table class="list" aria-labelledby="sweeps-title">
            <thead>
              <tr>
                <th scope="col">Sweep</th><th scope="col">State</th><th scope="col">Progress</th><th scope="col">Metric</th>
                <th scope="col" class="number">Created</th>
              </tr>
            </thead>
            <tbody>{items.map((sweep) => <SweepLine key={sweep.id} sweep={sweep} />)}</tbody>
          </table>
        </Scroll>
      )}
      {items?.length === 0 && (
        <p class="muted">None yet: a sweep runs one job for each row and seed, and gathers what they come to in a table.</p>
      )}
      <Problem error={sweeps.error} lead="The sweeps are not listed" />
      <Start datasets={datasets} onStart={sweeps.refresh} />
    </section>
  );
}

// What a cell came to, or how it stands; either way the link to its job.
function Cell({ id, value, job }: { id: number; value: string | null; job: Job | undefined }) {
  const text = value ?? (job ? words(job.state) : `job ${id}`);
  return (
    <td class="number" data-cell={id}>
      <a href={addressTo('jobs', id)} class={value === null ? 'muted' : undefined} aria-label={`${text}, job ${id}`}>{text}</a>
    </td>
  );
}

function intervalOf(row: SweepRow): Interval {
  const [value, sd] = [toNumber(row.mean), toNumber(row.sd)];
  return { value, low: value - sd, high: value + sd, points: row.values.map(toNumber) };
}

function ResultRow({ row, sweep, scale, jobs }: { row: SweepRow; sweep: Sweep; scale: Scale; jobs: Job[] }) {
  const settings = Object.entries(row.settings)
    .map(([pointer, value]) => `${words(pointer.replace(/^\/params\//, '').replaceAll('/', ' '))}: ${parameter(value)}`).join('; ');
  return (
    <tr>
      <th scope="row">{row.label}<span class="muted setting" title={settings}>{settings}</span></th>
      {row.jobs.map((id, i) => (
        <Cell key={id} id={id} value={row.values[i] == null ? null : metric(sweep.metric, row.values[i])}
          job={jobs.find((job) => job.id === id)} />
      ))}
      <td class="number"><b>{spread(sweep.metric, row.mean, row.sd)}</b></td>
      <td class="wide"><Whisker interval={intervalOf(row)} scale={scale} /></td>
      <td class={row.failed > 0 ? 'number error-text' : 'number muted'}>{row.failed}</td>
    </tr>
  );
}

function Results({ sweep, jobs }: { sweep: Sweep; jobs: Job[] }) {
  const scale = scaleOf(sweep.rows.map(intervalOf));
  return (
    <div class="card">
      <h3 id="results-title">
        Results <span class="muted">{sweep.metric}, {sweep.at === 'best' ? 'at the best checkpoint' : 'at the end'}</span>
      </h3>
      <Scroll labelledBy="results-title">
        <table class="list results-table" aria-labelledby="results-title">
          <thead>
            <tr>
              <th scope="col">Row</th>
              {sweep.seeds.map((seed) => <th key={seed} scope="col" class="number">seed {seed}</th>)}
              <th scope="col" class="number">mean ± sd</th>
              <th scope="col" aria-label="drawn" />
              <th scope="col" class="number">failed</th>
            </tr>
          </thead>
          <tbody>{sweep.rows.map((row) => <ResultRow key={row.label} row={row} sweep={sweep} scale={scale} jobs={jobs} />)}</tbody>
        </table>
      </Scroll>
    </div>
  );
}

export function SweepPage({ id, jobs }: { id: number; jobs: Job[] }) {
  const { data: sweep, error, refresh } = usePolled(`sweep ${id}`, () => getSweep(id), ({ state }) => OVER.has(state));

  if (!sweep)
    return <Problem error={error} lead={`Sweep ${id} is not shown`} />;
  const { part, text } = progressOf(sweep);
  return (
    <section class="stack" aria-labelledby="sweep-title" data-sweep-page={id}>
      <p><a href={addressTo('sweeps')}>All sweeps</a></p>
      <div class="detail-head">
        <h2 id="sweep-title">{sweep.name || `sweep ${sweep.id}`}</h2>
        <span aria-live="polite"><State state={sweep.state} /></span>
        <span class="muted">
          #{sweep.id} · {count(sweep.rows.length)} rows × {count(sweep.seeds.length)} seeds · {clock(sweep.created_at)}
        </span>
        <a href={sweepUrl(id)}>JSON</a>
        {!OVER.has(sweep.state) && (
          <Cancel key={id} what="sweep" leaving={sweep.state === 'stopping'} cancel={() => cancelSweep(id)} onDone={refresh} />
        )}
      </div>
      <ProgressBar of={sweep.name} state={sweep.state} part={part} text={text} />
      <Results sweep={sweep} jobs={jobs} />
    </section>
  );
}

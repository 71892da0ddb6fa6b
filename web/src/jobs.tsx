// The list of jobs, and what stands there before the first one.
import { useEffect, useRef } from 'preact/hooks';
import type { Job } from './api';
import { accuracy, count, fraction, percent, timeText, title, toNumber } from './format';
import { ProgressBar, Scroll, State } from './parts';

const leaving = (job: Job) => job.desired_state === 'cancelled' && (job.state === 'running' || job.state === 'starting');

export const JobState = ({ job }: { job: Job }) => <State state={job.state} leaving={leaving(job)} />;

function progressText({ progress: p }: Job): string {
  if (!p || p.steps <= 0)
    return '';
  return `${p.epochs > 0 ? `epoch ${p.epoch} of ${p.epochs} · ` : ''}step ${count(p.step)} of ${count(p.steps)}`;
}

// A number with its unit; "–" where nothing is known, which the narrow layout leaves out.
function Cell({ name, value, unit = '' }: { name: string; value: string; unit?: string }) {
  return (
    <td role="cell" class={`job-${name} number${value === '–' ? ' nothing' : ''}`}>
      {value}{unit !== '' && value !== '–' && <span class="muted"> {unit}</span>}
    </td>
  );
}

function Row({ job, selected }: { job: Job; selected: boolean }) {
  const best = accuracy(job);
  const speed = toNumber(job.latest['throughput/images_per_second']);
  const { dataset, method } = job.params;

  return (
    <tr role="row" class={selected ? 'job selected' : 'job'} data-job={job.id}
      onClick={() => { window.location.hash = `#/jobs/${job.id}`; }}>
      <th role="rowheader" scope="row" class="job-name">
        <a href={`#/jobs/${job.id}`} aria-current={selected ? 'true' : undefined}>{title(job)}</a>
        <span class="muted">{[`#${job.id}`, job.kind, dataset, method].filter((part) => typeof part === 'string').join(' · ')}</span>
      </th>
      <td role="cell" class="job-state"><JobState job={job} /></td>
      <td role="cell" class="job-progress">
        <ProgressBar of={title(job)} state={job.state} part={fraction(job)} text={progressText(job)} />
      </td>
      <Cell name="time" value={timeText(job)} />
      <Cell name="speed" value={Number.isFinite(speed) ? count(speed) : '–'} unit="images/s" />
      <Cell name="accuracy" value={best ? percent(best.value) : '–'} unit={best?.split ?? ''} />
    </tr>
  );
}

// Roles are written out because the narrow layout turns rows into cards, which would drop a table's own semantics.
export function JobTable({ jobs, more, selected }: { jobs: Job[]; more: boolean; selected: number | null }) {
  const body = useRef<HTMLTableSectionElement>(null);

  useEffect(() => body.current?.querySelector('.selected')?.scrollIntoView({ block: 'nearest' }), [selected]);
  return (
    <section aria-labelledby="jobs-title">
      <h2 id="jobs-title">Jobs</h2>
      <Scroll labelledBy="jobs-title">
        <table role="table" class="jobs" aria-labelledby="jobs-title">
          <thead role="rowgroup">
            <tr role="row">
              <th role="columnheader" scope="col">Job</th>
              <th role="columnheader" scope="col">State</th>
              <th role="columnheader" scope="col">Progress</th>
              <th role="columnheader" scope="col" class="number">Time</th>
              <th role="columnheader" scope="col" class="number">Speed</th>
              <th role="columnheader" scope="col" class="number">Accuracy</th>
            </tr>
          </thead>
          <tbody role="rowgroup" ref={body}>
            {jobs.map((job) => <Row key={job.id} job={job} selected={job.id === selected} />)}
          </tbody>
        </table>
      </Scroll>
      {more && <p class="muted">The newest {jobs.length} jobs; older ones are in the API.</p>}
    </section>
  );
}

const EXAMPLE = `{
    "kind": "train", "name": "first light",
    "params": {
      "dataset": "shapes", "epochs": 4,
      "model": {"name": "resnet18", "width": 16},
      "augment": [{"name": "crop", "padding": 4}, {"name": "flip"}]
    }
  }`;

export function EmptyState() {
  const address = new URL('api/v1/jobs', window.location.href);

  address.hash = '';
  return (
    <section class="empty card" aria-labelledby="empty-title">
      <h2 id="empty-title">No jobs yet</h2>
      <p>Send the first one from a terminal. This one trains a small ResNet on the built-in data set <code>shapes</code>:</p>
      <pre tabIndex={0}>{`curl ${address.href} \\\n  -H 'Content-Type: application/json' \\\n  -d '${EXAMPLE}'`}</pre>
      <p class="muted">It appears here by itself.</p>
    </section>
  );
}

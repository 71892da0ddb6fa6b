// The page: a header, the banner for a daemon that is away, the list of jobs, and the selected job.
import { useEffect, useState } from 'preact/hooks';
import { getDatasets, getJobs, getSystem, type ApiError } from './api';
import { Detail } from './detail';
import { clock } from './format';
import { EmptyState, JobTable } from './jobs';
import { usePolled } from './poll';

// The selected job is the address's "#/jobs/7", so that it can be linked to and the back button works.
function selectedByAddress(): number | null {
  const match = /^#\/jobs\/(\d+)$/.exec(window.location.hash);
  return match ? Number(match[1]) : null;
}

function useSelection(): number | null {
  const [id, setId] = useState(selectedByAddress);

  useEffect(() => {
    const onChange = () => setId(selectedByAddress());
    window.addEventListener('hashchange', onChange);
    return () => window.removeEventListener('hashchange', onChange);
  }, []);
  return id;
}

function Banner({ error, since }: { error: ApiError; since: number }) {
  return (
    <div class="banner" role="alert">
      <strong>{error.status === 0 ? 'The daemon does not answer.' : 'The daemon cannot list the jobs.'}</strong> Asking again every second
      {since > 0 && <>; what is shown is from {clock(new Date(since).toISOString())}</>}.
      <span class="banner-detail">{error.message}</span>
    </div>
  );
}

export function App() {
  const jobs = usePolled('jobs', getJobs);
  const system = usePolled('system', getSystem, () => true);
  const datasets = usePolled('datasets', getDatasets, ({ items }) => !items.some((item) => item.loading));
  const chosen = useSelection();
  const [first, setFirst] = useState<number | null>(null);
  const items = jobs.data?.items;

  // Without a choice the newest job that works is shown, or the newest: decided once, so that a new job does not take the page over.
  useEffect(() => {
    if (first === null && items && items.length > 0)
      setFirst((items.find((job) => job.state === 'running') ?? items[0])?.id ?? null);
  }, [items, first]);

  const selected = chosen ?? first;
  const running = items?.filter((job) => job.state === 'running').length ?? 0;

  useEffect(() => {
    document.title = running > 0 ? `(${running}) leased` : 'leased';
  }, [running]);

  const version = system.data?.['version'];
  return (
    <>
      <header class="top">
        <img src="assets/favicon.svg" alt="" width="28" height="28" />
        <h1>leased</h1>
        {typeof version === 'string' && <span class="muted">{version}</span>}
        <nav aria-label="API">
          <a href="api/v1/system">System</a>
          <a href="api/v1/openapi.json">API</a>
        </nav>
      </header>
      <main>
        {jobs.error && <Banner error={jobs.error} since={jobs.since} />}
        {items && items.length === 0 && <EmptyState />}
        {items && items.length > 0 && <JobTable jobs={items} more={jobs.data?.next !== null} selected={selected} />}
        {!items && !jobs.error && <p class="muted">Loading the jobs…</p>}
        {selected !== null && <Detail id={selected} datasets={datasets.data?.items ?? []} onChange={jobs.refresh} />}
      </main>
    </>
  );
}

// The page: a header, the banner for a daemon that is away, and the view that the address names: the list of jobs with the selected
// one, sweeps, genotypes, explanations of one's own pictures.
import { useEffect, useState } from 'preact/hooks';
import { getDatasets, getJobs, getSystem, type ApiError, type Dataset, type Job } from './api';
import { Detail } from './detail';
import { clock, words } from './format';
import { GenotypeList, GenotypePage } from './genotypes';
import { EmptyState, JobTable } from './jobs';
import { usePolled } from './poll';
import { addressTo, useRoute, VIEWS, type Route } from './route';
import { SweepList, SweepPage } from './sweeps';
import { Explanations } from './upload';

function Banner({ error, since }: { error: ApiError; since: number }) {
  return (
    <div class="banner" role="alert">
      <strong>{error.status === 0 ? 'The daemon does not answer.' : 'The daemon cannot list the jobs.'}</strong> Asking again every second
      {since > 0 && <>; what is shown is from {clock(new Date(since).toISOString())}</>}.
      <span class="banner-detail">{error.message}</span>
    </div>
  );
}

function View({ route, jobs, datasets, selected, more, onChange }:
  { route: Route; jobs: Job[]; datasets: Dataset[]; selected: number | null; more: boolean; onChange: () => void }) {
  const { view, id, other } = route;

  if (view === 'sweeps')
    return id === null ? <SweepList datasets={datasets} /> : <SweepPage key={id} id={id} jobs={jobs} />;
  if (view === 'genotypes')
    return id === null ? <GenotypeList /> : <GenotypePage key={id} id={id} other={other} />;
  if (view === 'explanations')
    return <Explanations id={id} jobs={jobs} datasets={datasets} />;
  return (
    <>
      {jobs.length > 0 && <JobTable jobs={jobs} more={more} selected={selected} />}
      {selected !== null && <Detail id={selected} jobs={jobs} datasets={datasets} onChange={onChange} />}
    </>
  );
}

export function App() {
  const jobs = usePolled('jobs', getJobs);
  const system = usePolled('system', getSystem, () => true);
  const datasets = usePolled('datasets', getDatasets, ({ items }) => !items.some((item) => item.loading));
  const route = useRoute();
  const [first, setFirst] = useState<number | null>(null);
  const items = jobs.data?.items;

  // Without a choice the newest job that works is shown, or the newest: decided once, so that a new job does not take the page over.
  useEffect(() => {
    if (first === null && items && items.length > 0)
      setFirst((items.find((job) => job.state === 'running') ?? items[0])?.id ?? null);
  }, [items, first]);

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
        <nav class="views" aria-label="Views">
          {VIEWS.map((view) => (
            <a key={view} href={addressTo(view)} aria-current={view === route.view ? 'page' : undefined}>{words(view)}</a>
          ))}
        </nav>
        <nav aria-label="API">
          <a href="api/v1/system">System</a>
          <a href="api/v1/openapi.json">API</a>
        </nav>
      </header>
      <main>
        {jobs.error && <Banner error={jobs.error} since={jobs.since} />}
        {items?.length === 0 && route.view === 'jobs' && <EmptyState />}
        {!items && !jobs.error && <p class="muted">Loading the jobs…</p>}
        <View route={route} jobs={items ?? []} datasets={datasets.data?.items ?? []} more={jobs.data?.next != null}
          selected={route.id ?? first} onChange={jobs.refresh} />
      </main>
    </>
  );
}

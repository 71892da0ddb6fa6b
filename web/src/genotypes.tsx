// Genotypes: the list, one with its drawing, where it came from and what it scored, and two of them compared.
import { useState } from 'preact/hooks';
import { clock, count, percent, stateName, words } from './format';
import { Copyable, Problem, Scroll, useAction } from './parts';
import { usePolled } from './poll';
import { addressTo } from './route';
import {
  compareGenotypes, genotypeUrl, getDartsText, getGenotype, getGenotypes, postGenotype, type ComparedCell, type ComparedEdge,
  type Comparison, type Genotype, type GenotypeItem,
} from './search_api';

const plural = (n: number, what: string) => `${count(n)} ${what}${n === 1 ? '' : 's'}`;

function originOf(item: GenotypeItem): string {
  const parts = [
    ...(item.source_count > 0 ? [`found by a search, ${plural(item.source_count, 'epoch')}`] : []),
    ...(item.imported_at !== null ? [`sent ${clock(item.imported_at)}`] : []),
  ];
  return parts.length > 0 ? parts.join('; ') : 'named by a job';
}

export const Drawing = ({ id }: { id: number }) =>
  <img class="drawing" src={genotypeUrl(id, 'svg')} alt={`Genotype ${id}: its normal and its reduction cell as graphs`} />;

function Send({ onSent }: { onSent: () => void }) {
  const [text, setText] = useState('');
  const { busy, error, act } = useAction();
  const submit = (event: Event) => {
    event.preventDefault();
    act(async () => {
      const { id } = await postGenotype(text.trim());
      setText('');
      onSent();
      window.location.hash = addressTo('genotypes', id);
    });
  };

  return (
    <form class="card form" onSubmit={submit} aria-labelledby="send-title">
      <h3 id="send-title">Send one</h3>
      <div class="controls">
        <label class="grow">DARTS text, or a published name
          <input name="text" value={text} placeholder="darts_v2, or Genotype(normal=[…" autocomplete="off" spellcheck={false} required
            onInput={(e) => setText(e.currentTarget.value)} />
        </label>
        <button type="submit" disabled={busy}>Send</button>
      </div>
      <Problem error={error} lead="Not taken" />
    </form>
  );
}

export function GenotypeList() {
  const genotypes = usePolled('genotypes', () => getGenotypes());
  const items = genotypes.data?.items;

  return (
    <section class="stack" aria-labelledby="genotypes-title">
      <h2 id="genotypes-title">Genotypes</h2>
      {items && items.length > 0 && (
        <Scroll labelledBy="genotypes-title">
          <table class="list" aria-labelledby="genotypes-title">
            <thead>
              <tr>
                <th scope="col">Genotype</th><th scope="col">From</th><th scope="col" class="number">Best accuracy</th>
                <th scope="col" class="number">Created</th>
              </tr>
            </thead>
            <tbody>
              {items.map((item) => (
                <tr key={item.id} data-genotype={item.id}>
                  <th scope="row"><a href={addressTo('genotypes', item.id)}>Genotype {item.id}</a></th>
                  <td>{originOf(item)}</td>
                  <td class="number">
                    {percent(item.accuracy)}{item.score_count > 0 && <span class="muted"> of {plural(item.score_count, 'training')}</span>}
                  </td>
                  <td class="number">{clock(item.created_at)}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </Scroll>
      )}
      {items?.length === 0 && <p class="muted">None yet: searches leave one each epoch, and one may be sent.</p>}
      {genotypes.data?.next && <p class="muted">The newest {items?.length}; older ones are in the API.</p>}
      <Problem error={genotypes.error} lead="The genotypes are not listed" />
      <Send onSent={genotypes.refresh} />
    </section>
  );
}

// Where it came from and what it scored.
function Record({ genotype }: { genotype: Genotype }) {
  const { network, sources, scores } = genotype;
  return (
    <aside class="card facts" aria-label="About this genotype">
      <h3>As papers count it</h3>
      <dl>
        <div><dt>network</dt><dd>{network.channels} channels, {network.cells} cells</dd></div>
        <div><dt>parameters</dt><dd>{(network.parameters / 1e6).toFixed(2)} M</dd></div>
        <div><dt>multiplies an image</dt><dd>{count(network.macs / 1e6)} M</dd></div>
      </dl>
      <h3>Found by</h3>
      {sources.length === 0 && (
        <p class="muted">{genotype.imported_at === null ? 'no search' : `nobody here; sent ${clock(genotype.imported_at)}`}</p>
      )}
      <ul class="plain">
        {sources.slice(0, 12).map(({ job, epoch }) => (
          <li key={`${job} ${epoch}`}><a href={addressTo('jobs', job)}>job {job}</a> <span class="muted">epoch {epoch}</span></li>
        ))}
      </ul>
      {genotype.source_count > 12 && <p class="muted">and {count(genotype.source_count - 12)} more epochs</p>}
      <h3>Scored</h3>
      {scores.length === 0 && <p class="muted">No job has trained it yet.</p>}
      <ul class="plain">
        {scores.slice(0, 12).map((score) => (
          <li key={score.job}>
            <b>{percent(score.accuracy)}</b> test{score.val_accuracy !== null && <>, {percent(score.val_accuracy)} val</>}{' '}
            <a href={addressTo('jobs', score.job)}>job {score.job}</a>{' '}
            <span class="muted">{(score.parameters / 1e6).toFixed(2)} M, {plural(score.epochs, 'epoch')}</span>
          </li>
        ))}
      </ul>
      <p class="links">
        {['json', 'darts', 'dot', 'svg'].map((format) => (
          <a key={format} href={genotypeUrl(genotype.id, format)}>{format.toUpperCase()}</a>
        ))}
      </p>
    </aside>
  );
}

const edgeText = ({ candidate, from, to }: ComparedEdge) => `${words(candidate)}, ${stateName(from)} → ${stateName(to)}`;

function CellTable({ name, cell, a, b }: { name: string; cell: ComparedCell; a: number; b: number }) {
  const columns: [string, ComparedEdge[]][] = [[`only ${a}`, cell.only_a], ['both', cell.common], [`only ${b}`, cell.only_b]];
  return (
    <div class="card">
      <h3>{name} cell <span class="muted">{cell.common.length} of {cell.common.length + cell.only_a.length} edges in common</span></h3>
      <div class="columns">
        {columns.map(([head, edges]) => (
          <div key={head} class={head === 'both' ? 'column-both' : undefined}>
            <h4>{head}</h4>
            <ul class="plain">
              {edges.length === 0 && <li class="muted">none</li>}
              {edges.map((edge, i) => <li key={i}>{edgeText(edge)}</li>)}
            </ul>
          </div>
        ))}
      </div>
    </div>
  );
}

function Compared({ a, b }: { a: number; b: number }) {
  const { data, error } = usePolled<Comparison>(`compare ${a} ${b}`, () => compareGenotypes(a, b), () => true);

  return (
    <div class="stack" data-compared={`${a} ${b}`}>
      <Problem error={error} lead="Not compared" />
      {data && (
        <p><b>{data.common} of {data.edges}</b> edges in common. An edge is a candidate, the state it comes from and the node it feeds.</p>
      )}
      <div class="pair">
        {[a, b].map((id) => (
          <figure key={id} class="card">
            <figcaption><h3><a href={addressTo('genotypes', id)}>Genotype {id}</a></h3></figcaption>
            <Drawing id={id} />
          </figure>
        ))}
      </div>
      {data && (
        <div class="pair">
          <CellTable name="Normal" cell={data.normal} a={a} b={b} />
          <CellTable name="Reduction" cell={data.reduce} a={a} b={b} />
        </div>
      )}
    </div>
  );
}

function Alone({ genotype }: { genotype: Genotype }) {
  const text = usePolled(`text ${genotype.id}`, () => getDartsText(genotype.id), () => true);
  return (
    <div class="detail-body">
      <div class="detail-main">
        <div class="card"><Drawing id={genotype.id} /></div>
        <div class="card">
          <Copyable label="DARTS text" text={(text.data ?? genotype.text).trim()} />
          <Problem error={text.error} lead="The text is not shown" />
        </div>
      </div>
      <Record genotype={genotype} />
    </div>
  );
}

export function GenotypePage({ id, other }: { id: number; other: number | null }) {
  const { data: genotype, error } = usePolled(`genotype ${id}`, () => getGenotype(id), () => true);
  const all = usePolled('genotypes', () => getGenotypes(), () => true).data?.items ?? [];

  return (
    <section class="stack" aria-labelledby="genotype-title" data-genotype-page={id}>
      <p><a href={addressTo('genotypes')}>All genotypes</a></p>
      <div class="detail-head">
        <h2 id="genotype-title">Genotype {id}{other !== null && <> and {other}</>}</h2>
        {genotype && other === null && (
          <span class="muted">{originOf(genotype)}{genotype.accuracy !== null && <> · {percent(genotype.accuracy)}</>}</span>
        )}
        <div class="controls end">
          <label>Compare with
            <select name="other" value={other === null ? '' : String(other)}
              onChange={(e) => { window.location.hash = addressTo('genotypes', id, Number(e.currentTarget.value) || undefined); }}>
              <option value="">none</option>
              {all.filter((item) => item.id !== id)
                .map((item) => <option key={item.id} value={String(item.id)}>Genotype {item.id}</option>)}
            </select>
          </label>
        </div>
      </div>
      <Problem error={error} lead={`Genotype ${id} is not shown`} />
      {other !== null ? <Compared key={`${id} ${other}`} a={id} b={other} /> : genotype && <Alone key={id} genotype={genotype} />}
    </section>
  );
}

// The architecture of a job that searches: how much each edge of the cells gives to each operation, epoch by epoch, and the genotype
// that this comes to.
import { useRef, useState } from 'preact/hooks';
import type { Job } from './api';
import { Drawing } from './genotypes';
import { number, stateName, toNumber, words } from './format';
import { Problem, Scroll } from './parts';
import { usePolled } from './poll';
import { addressTo } from './route';
import { getAlphas, getGenotype, getGenotypes, type AlphaCell, type AlphaEdge, type Alphas } from './search_api';

// Colours tell small weights apart better by their root: at the start all of them are small.
const shade = (weight: number) => ({ '--part': Number.isFinite(weight) ? Math.sqrt(Math.max(0, weight)) : 0 });

function AlphaRow({ edge, columns }: { edge: AlphaEdge; columns: string[] }) {
  const weights = new Map(edge.candidates.map((name, i) => [name, toNumber(edge.weights[i])]));
  const most = Math.max(...[...weights.values()].filter(Number.isFinite));

  return (
    <tr>
      <th scope="row">{stateName(edge.input)} → {stateName(edge.node)}</th>
      {columns.map((name) => {
        const weight = weights.get(name);
        return weight === undefined ? <td key={name} /> : (
          <td key={name} class={weight === most ? 'heat most' : 'heat'} style={shade(weight)}>
            {Number.isFinite(weight) ? weight.toFixed(2) : String(weight)}
          </td>
        );
      })}
      {edge.share !== null && <td class="heat share" style={shade(toNumber(edge.share))}>{toNumber(edge.share).toFixed(2)}</td>}
    </tr>
  );
}

function AlphaTable({ id, name, cell }: { id: string; name: string; cell: AlphaCell }) {
  const columns = [...new Set(cell.edges.flatMap((edge) => edge.candidates))];
  const shares = cell.edges.some((edge) => edge.share !== null);

  return (
    <div class="alphas">
      <h4 id={id}>{name} cell <span class="muted">entropy {number(cell.entropy)}</span></h4>
      <Scroll labelledBy={id}>
        <table class="heat-table" aria-labelledby={id}>
          <thead>
            <tr>
              <th scope="col">edge</th>
              {columns.map((column) => <th key={column} scope="col">{words(column)}</th>)}
              {shares && <th scope="col" title="softmax of the betas: what the edge gives to its node">edge’s share</th>}
            </tr>
          </thead>
          <tbody>{cell.edges.map((edge) => <AlphaRow key={`${edge.input} ${edge.node}`} edge={edge} columns={columns} />)}</tbody>
        </table>
      </Scroll>
    </div>
  );
}

// What the search would answer at that epoch: of all that it has found, the one that it found then.
async function genotypeAt(job: number, epoch: number): Promise<number | null> {
  for (const { id } of (await getGenotypes(job)).items)
    if ((await getGenotype(id)).sources.some((source) => source.job === job && source.epoch === epoch))
      return id;
  return null;
}

async function ask(job: number, epoch: number): Promise<{ alphas: Alphas; genotype: number | null }> {
  const alphas = await getAlphas(job, epoch);
  return { alphas, genotype: await genotypeAt(job, epoch) };
}

export function Architecture({ job }: { job: Job }) {
  const epochs = job.progress?.epoch ?? 0;
  const [chosen, setChosen] = useState<number | null>(null); // null: follows the newest
  const epoch = Math.min(chosen ?? epochs, epochs);
  const { data, error } = usePolled(`alphas ${job.id} ${epoch}`, () => ask(job.id, epoch), () => true);
  const kept = useRef(data); // the epoch before stands until the next has come

  if (data)
    kept.current = data;
  const shown = error ? null : kept.current;
  if (epochs < 1)
    return null;
  return (
    <section class="card stack" aria-labelledby="alphas-title" data-alphas={shown?.alphas.epoch}>
      <div class="heatmaps-head">
        <h3 id="alphas-title">Architecture <span class="muted">each edge’s share for each operation: softmax of the alphas</span></h3>
        <label class="slider">epoch <output>{epoch}</output>
          <input type="range" name="epoch" min={1} max={epochs} value={epoch} disabled={epochs < 2}
            onInput={(e) => setChosen(e.currentTarget.valueAsNumber < epochs ? e.currentTarget.valueAsNumber : null)} />
        </label>
      </div>
      <Problem error={error} lead={`No alphas of epoch ${epoch}`} />
      {shown && (
        <>
          <AlphaTable id="alphas-normal" name="Normal" cell={shown.alphas.cells.normal} />
          <AlphaTable id="alphas-reduce" name="Reduction" cell={shown.alphas.cells.reduce} />
          {shown.genotype !== null && (
            <figure>
              <figcaption>
                <h4>The genotype so far: <a href={addressTo('genotypes', shown.genotype)}>genotype {shown.genotype}</a></h4>
              </figcaption>
              <Drawing id={shown.genotype} />
            </figure>
          )}
        </>
      )}
    </section>
  );
}

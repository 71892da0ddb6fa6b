// Curves: uPlot draws them, this file feeds it and adds a legend, and marks where a value was not a number.
import { useEffect, useMemo, useRef, useState } from 'preact/hooks';
import uPlot from 'uplot';
import type { Num } from './api';
import { valueAt, type Curve } from './curves';
import { count } from './format';

const colour = (name: string) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
const HEIGHT = 230;
const FONT = '12px system-ui, sans-serif';

// A dotted line, a tinted band and a word over every run of steps whose values are not numbers.
function drawOdd(u: uPlot, curves: Curve[]): void {
  const { ctx, bbox } = u;
  const ratio = uPlot.pxRatio;
  const end = bbox.left + bbox.width;
  const at = (step: number) => Math.min(end, Math.max(bbox.left, Math.round(u.valToPos(step, 'x', true))));
  let textEnd = -Infinity;

  ctx.save();
  ctx.strokeStyle = ctx.fillStyle = colour('bad');
  ctx.lineWidth = ratio;
  ctx.textAlign = 'left';
  ctx.textBaseline = 'alphabetic';
  ctx.setLineDash([3 * ratio, 3 * ratio]);
  ctx.font = `${11 * ratio}px system-ui, sans-serif`;
  for (const { from, to, what } of curves.flatMap((curve) => curve.odd).sort((a, b) => a.from - b.from)) {
    const x = at(from);
    ctx.globalAlpha = 0.12;
    ctx.fillRect(x, bbox.top, at(to) - x, bbox.height);
    ctx.globalAlpha = 1;
    ctx.beginPath();
    ctx.moveTo(x, bbox.top);
    ctx.lineTo(x, bbox.top + bbox.height);
    ctx.stroke();
    const width = ctx.measureText(what).width + 6 * ratio;
    const left = x + width > end ? x - width : x;
    if (left > textEnd) {
      ctx.fillText(what, left + 3 * ratio, bbox.top + 11 * ratio);
      textEnd = left + width;
    }
  }
  ctx.restore();
}

function axis(size: number, values: (x: number) => string): uPlot.Axis {
  return {
    stroke: colour('muted'), font: FONT, size, values: (_u, splits) => splits.map(values),
    grid: { stroke: colour('line'), width: 1 }, ticks: { show: false },
  };
}

interface ChartProps {
  title: string;
  curves: Curve[];
  format: (value: Num) => string;
  top?: number; // the scale's end; without it, what the values need
}

// `current` holds the curves as they are when something is drawn, which is later than when the plot was made.
function options({ curves, format, top }: ChartProps, width: number, current: { curves: Curve[] },
                 onCursor: (step: number | null) => void): uPlot.Options {
  return {
    width, height: HEIGHT, legend: { show: false }, padding: [12, 12, 0, 0],
    cursor: { sync: { key: 'curves' }, y: false, drag: { x: false, y: false } },
    scales: {
      x: { time: false, range: (_u, min, max) => [Math.min(0, min ?? 0), Math.max(max ?? 1, 1)] },
      y: { range: (_u, min, max) => [Math.min(0, min ?? 0) * 1.05, top ?? Math.max((max ?? 1) * 1.05, 1e-6)] },
    },
    axes: [axis(28, count), axis(48, (y) => format(y).replace('.0 %', ' %'))],
    series: [{}, ...curves.map((curve): uPlot.Series => ({
      label: curve.label, stroke: colour(curve.colour), spanGaps: false, ...(curve.dashed && { dash: [5, 4] }),
      width: curve.thin ? 1 : 2, points: { show: !curve.thin, size: 6, fill: colour('card') },
    }))],
    hooks: {
      draw: [(u) => drawOdd(u, current.curves)],
      setCursor: [(u) => onCursor(typeof u.cursor.idx === 'number' ? u.data[0][u.cursor.idx] ?? null : null)],
    },
  };
}

// null: a gap in a curve; undefined, where another curve has a step and this one has not, is drawn through.
const joined = (curves: Curve[]) => uPlot.join(curves.map((curve): uPlot.AlignedData => [curve.steps, curve.values]));

// Counts up when the reader's colour scheme changes: the canvas has to be drawn anew.
function useScheme(): number {
  const [changes, setChanges] = useState(0);

  useEffect(() => {
    const query = window.matchMedia('(prefers-color-scheme: dark)');
    const onChange = () => setChanges((n) => n + 1);
    query.addEventListener('change', onChange);
    return () => query.removeEventListener('change', onChange);
  }, []);
  return changes;
}

function Legend({ curves, format, step }: { curves: Curve[]; format: (value: Num) => string; step: number | null }) {
  return (
    <ul class="legend">
      {curves.map((curve) => {
        const at = valueAt(curve, step ?? Infinity);
        return (
          <li key={curve.label}>
            <span class={`swatch swatch-${curve.colour}${curve.dashed ? ' swatch-dashed' : ''}`} />
            {curve.label} <b>{at ? format(at.value) : '–'}</b>
          </li>
        );
      })}
      <li class="muted">{step === null ? 'latest' : `step ${count(step)}`}</li>
    </ul>
  );
}

export function Chart(props: ChartProps) {
  const { title, curves, format } = props;
  const box = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | null>(null);
  const current = useRef({ curves }).current;
  const [step, setStep] = useState<number | null>(null);
  const names = curves.map((curve) => curve.label).join();
  const scheme = useScheme();

  current.curves = curves;
  useEffect(() => {
    if (!box.current || curves.length === 0)
      return undefined;
    const element = box.current;
    const u = new uPlot(options(props, element.clientWidth, current, setStep), joined(curves), element);
    const observer = new ResizeObserver(() => u.setSize({ width: element.clientWidth, height: HEIGHT }));
    plot.current = u;
    observer.observe(element);
    return () => {
      observer.disconnect();
      u.destroy();
      plot.current = null;
    };
  }, [names, scheme]);
  useEffect(() => plot.current?.setData(joined(curves)), [curves]);

  const odd = curves.flatMap((curve) => curve.odd.map(({ from, to, what }) =>
    `${curve.label} is ${what} ${from === to ? `at step ${count(from)}` : `from step ${count(from)} to ${count(to)}`}`));
  const thinned = curves.filter((curve) => curve.steps.length < curve.total);
  const summary = useMemo(() => curves.map((curve) => {
    const last = valueAt(curve, Infinity);
    return last ? `${curve.label} ${format(last.value)} at step ${count(last.step)}` : `${curve.label} has no finite value`;
  }).join(', '), [curves]);

  if (curves.length === 0)
    return null;
  return (
    <figure class="card chart" data-chart={title} data-points={curves.reduce((sum, curve) => sum + curve.steps.length, 0)}>
      <figcaption>
        <h3>{title}</h3>
        <Legend curves={curves} format={format} step={step} />
      </figcaption>
      <div ref={box} class="plot" role="img" aria-label={`${title} by step: ${summary}`} />
      {odd.length > 0 && (
        <p class="chart-note error-text">{odd.slice(0, 3).join('; ')}{odd.length > 3 && ` and ${odd.length - 3} more`}</p>
      )}
      {thinned.map((curve) => (
        <p key={curve.label} class="chart-note muted">{curve.label}: {count(curve.steps.length)} of {count(curve.total)} points</p>
      ))}
    </figure>
  );
}

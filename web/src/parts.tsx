// Small pieces that several views are made of.
import type { ComponentChildren } from 'preact';
import { useRef, useState } from 'preact/hooks';
import { asApiError, type ApiError } from './api';
import { percent, words } from './format';

// A word and a coloured dot: the colour never says anything alone.
export const State = ({ state, leaving = false }: { state: string; leaving?: boolean }) =>
  <span class={`state state-${state}`}>{leaving ? 'cancelling' : words(state)}</span>;

// `part`: 0..1, or NaN where nothing is known.
export function ProgressBar({ of, state, part, text }: { of: string; state: string; part: number; text: string }) {
  const known = Number.isNaN(part) ? 0 : part;
  return (
    <div class="progress">
      <progress max={1} value={known} class={`bar-${state}`} aria-label={`Progress of ${of}`} aria-valuetext={percent(known)} />
      {text !== '' && <span class="progress-text">{text}</span>}
    </div>
  );
}

// A table that may be wider than the page scrolls by itself, by keyboard too.
export function Scroll({ labelledBy, children }: { labelledBy: string; children: ComponentChildren }) {
  return <div class="table-scroll" tabIndex={0} role="region" aria-labelledby={labelledBy}>{children}</div>;
}

/*
 * What the daemon says is wrong. It stands beside the input that it is about; `lead` says what did not happen. The fields' own
 * messages are shown where there are any: they say more than the sum of them.
 */
export function Problem({ error, lead }: { error: ApiError | null; lead: string }) {
  if (!error)
    return null;
  return (
    <div role="alert" class="problem">
      {lead}: {error.fields.length === 0 && error.message}
      {error.fields.length > 0 && (
        <ul>
          {error.fields.map(({ pointer, detail }) => <li key={pointer + detail}><code>{pointer}</code> {detail}</li>)}
        </ul>
      )}
    </div>
  );
}

// Something that takes a while, is done once at a time, and may fail.
export function useAction(): { busy: boolean; error: ApiError | null; act: (action: () => Promise<void>) => void } {
  const [state, setState] = useState<{ busy: boolean; error: ApiError | null }>({ busy: false, error: null });
  const running = useRef(false);

  function act(action: () => Promise<void>): void {
    if (running.current)
      return;
    running.current = true;
    setState({ busy: true, error: null });
    void action().then(() => null, asApiError).then((error) => {
      running.current = false;
      setState({ busy: false, error });
    });
  }
  return { ...state, act };
}

const focus = (element: HTMLElement | null) => element?.focus();

/* Two clicks, because what a cancelled job had not yet written is gone. */
export function Cancel({ what, leaving, cancel, onDone }:
  { what: string; leaving: boolean; cancel: () => Promise<unknown>; onDone: () => void }) {
  const [asking, setAsking] = useState(false);
  const { busy, error, act } = useAction();

  function confirmed(): void {
    setAsking(false);
    act(() => cancel().then(() => {}).finally(onDone));
  }

  return (
    <div class="cancel">
      {error && <span role="alert" class="error-text">Not cancelled: {error.message}</span>}
      {asking && !leaving ? (
        <>
          <button type="button" class="danger" onClick={confirmed} ref={focus}>Yes, cancel it</button>
          <button type="button" onClick={() => setAsking(false)}>Keep it</button>
        </>
      ) : (
        <button type="button" disabled={leaving || busy} onClick={() => setAsking(true)}>
          {leaving ? 'Cancelling…' : `Cancel ${what}`}
        </button>
      )}
    </div>
  );
}

// Text to take away: one click, or by hand where the browser refuses (it does on an address without TLS that is not this machine's).
export function Copyable({ label, text }: { label: string; text: string }) {
  const area = useRef<HTMLTextAreaElement>(null);
  const [said, setSaid] = useState('');

  async function copy(): Promise<void> {
    area.current?.select();
    try {
      await navigator.clipboard.writeText(text);
      setSaid('Copied');
    } catch {
      setSaid('Selected: copy it with the keyboard');
    }
  }

  return (
    <div class="copyable">
      <div class="copyable-head">
        <h3>{label}</h3>
        <span class="muted" role="status">{said}</span>
        <button type="button" onClick={() => void copy()}>Copy</button>
      </div>
      <textarea ref={area} readOnly rows={4} value={text} aria-label={label} />
    </div>
  );
}

/*
 * A number with its uncertainty on a scale that its neighbours share: a bar from `low` to `high`, a mark at `value`, a ring
 * for each of `points`. It repeats what stands beside it in figures, so readers of the screen pass over it.
 */
export interface Interval {
  value: number;
  low: number;
  high: number;
  points?: number[];
}

export interface Scale {
  from: number;
  to: number;
}

// From the smallest to the largest finite number, with a little room; [0,1] is kept where everything lies in it and fills much of it.
export function scaleOf(intervals: Interval[]): Scale {
  const all = intervals.flatMap(({ value, low, high, points }) => [value, low, high, ...(points ?? [])]).filter(Number.isFinite);
  if (all.length === 0)
    return { from: 0, to: 1 };
  const [min, max] = [Math.min(...all), Math.max(...all)];
  if (min >= 0 && max <= 1 && max - min > 0.4)
    return { from: 0, to: 1 };
  const room = (max - min || Math.abs(max) || 1) * 0.1;
  return { from: min - room, to: max + room };
}

export function Whisker({ interval, scale }: { interval: Interval; scale: Scale }) {
  const at = (x: number) => `${(100 * (x - scale.from)) / (scale.to - scale.from)}%`;
  const { value, low, high, points = [] } = interval;

  return (
    <svg class="whisker" aria-hidden="true" width="100%" height="16">
      <line class="whisker-scale" x1="0" x2="100%" y1="8" y2="8" />
      {Number.isFinite(low) && Number.isFinite(high) && <line class="whisker-range" x1={at(low)} x2={at(high)} y1="8" y2="8" />}
      {points.filter(Number.isFinite).map((x, i) => <circle key={i} class="whisker-point" cx={at(x)} cy="8" r="3" />)}
      {Number.isFinite(value) && <line class="whisker-value" x1={at(value)} x2={at(value)} y1="2" y2="14" />}
    </svg>
  );
}

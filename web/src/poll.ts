// Asking again: a hook that calls an asynchronous function once a second while the page is visible.
import { useEffect, useRef, useState } from 'preact/hooks';
import { ApiError } from './api';

export interface Polled<T> {
  data: T | null; // the newest answer; kept while the daemon is away
  error: ApiError | null; // of the last attempt
  since: number; // when `data` came, in unix ms
  refresh: () => void;
}

const PERIOD_MS = 1000;

/*
 * `key` names what is asked for: another key forgets the old answer at once. `isDone` ends the polling for this key
 * (a finished job never changes). One request at a time: a slow daemon is not asked faster than it answers.
 */
export function usePolled<T>(key: string, ask: () => Promise<T>, isDone: (data: T) => boolean = () => false): Polled<T> {
  const [answer, setAnswer] = useState<{ key: string; data: T | null; error: ApiError | null; since: number }>(
    { key, data: null, error: null, since: 0 });
  const wake = useRef<() => void>(() => {});

  useEffect(() => {
    let timer = 0;
    let stopped = false;
    let busy = false;

    async function tick(): Promise<void> {
      window.clearTimeout(timer);
      if (stopped || busy || document.hidden)
        return;
      busy = true;
      let done = false;
      try {
        const data = await ask();
        done = isDone(data);
        if (!stopped)
          setAnswer({ key, data, error: null, since: Date.now() });
      } catch (thrown) {
        const error = thrown instanceof ApiError ? thrown : new ApiError(0, String(thrown));
        if (!stopped)
          setAnswer((old) => (old.key === key ? { ...old, error } : { key, data: null, error, since: 0 }));
      }
      busy = false;
      if (!stopped && !done)
        timer = window.setTimeout(tick, PERIOD_MS);
    }

    const onVisible = () => void tick();
    wake.current = onVisible;
    document.addEventListener('visibilitychange', onVisible);
    void tick();
    return () => {
      stopped = true;
      window.clearTimeout(timer);
      document.removeEventListener('visibilitychange', onVisible);
    };
  }, [key]);

  const current = answer.key === key ? answer : { data: null, error: null, since: 0 };
  return { data: current.data, error: current.error, since: current.since, refresh: () => wake.current() };
}

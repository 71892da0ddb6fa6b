// One heat map on the page, and the order in which many of them are asked for.
import { useEffect, useRef, useState } from 'preact/hooks';
import { ApiError, asApiError } from './api';
import { getPicture, type HeatMap } from './explain_api';

/*
 * The daemon computes maps one after another and answers 503 when its queue is full; and a browser opens only
 * six connections, which the polling shares. So at most LOADS_MAX images load at a time, and a refused one is asked for again.
 */
const LOADS_MAX = 3;
const TRIES_MAX = 6;
const waiting: (() => void)[] = [];
let loading = 0;

async function attempts(path: string, isGone: () => boolean): Promise<HeatMap> {
  let last = new ApiError(0, 'not asked for');

  for (let tries = 1; tries <= TRIES_MAX && !isGone(); tries++) {
    try {
      return await getPicture(path);
    } catch (thrown) {
      last = asApiError(thrown);
      if (last.status !== 0 && last.status !== 503)
        throw last; // the answer would be the same
    }
    await new Promise((resolve) => setTimeout(resolve, 400 * tries));
  }
  throw last;
}

export async function load(path: string, isGone: () => boolean): Promise<HeatMap> {
  if (loading < LOADS_MAX)
    loading++;
  else
    await new Promise<void>((resolve) => waiting.push(resolve)); // takes over the place of one that ended
  try {
    return await attempts(path, isGone);
  } finally {
    const next = waiting.shift();
    if (next)
      next();
    else
      loading--;
  }
}

/*
 * A canvas and not an <img>: the headers of the answer are wanted too, and the content policy allows no data: or blob: addresses.
 * Mounted anew for each address: its caller's `key` holds the address. `plain`: the image without its map.
 */
export function MapImage({ path, alt, plain = false, onLoad, onFail }:
  { path: string; alt: string; plain?: boolean; onLoad?: (map: HeatMap) => void; onFail?: (error: ApiError) => void }) {
  const canvas = useRef<HTMLCanvasElement>(null);
  const [state, setState] = useState<'loading' | 'loaded' | 'empty' | 'failed'>('loading');

  useEffect(() => {
    let gone = false;

    load(path, () => gone).then((map) => {
      if (gone || !canvas.current)
        return;
      canvas.current.width = map.picture.width;
      canvas.current.height = map.picture.height;
      canvas.current.getContext('2d')?.drawImage(map.picture, 0, 0);
      map.picture.close();
      onLoad?.(map);
      setState(map.empty && !plain ? 'empty' : 'loaded');
    }, (thrown: unknown) => {
      if (gone)
        return;
      onFail?.(asApiError(thrown));
      setState('failed');
    });
    return () => { gone = true; };
  }, []);

  const drawn = state === 'loaded' || state === 'empty';
  return (
    <span class="map">
      <canvas ref={canvas} role="img" aria-label={state === 'failed' ? `${alt}: not loaded` : state === 'empty' ? `${alt}: empty` : alt}
        data-map={drawn ? 'loaded' : state} hidden={!drawn} />
      {state === 'failed' && 'not loaded'}
      {state === 'empty' && <span class="map-mark" title="The map is zero everywhere">empty</span>}
    </span>
  );
}

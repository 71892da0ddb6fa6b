// Which view the page shows is the address's fragment, so that it can be linked to and the back button works: "#/jobs/7",
// "#/sweeps/3", "#/genotypes/3/compare/5".
import { useEffect, useState } from 'preact/hooks';

export const VIEWS = ['jobs', 'sweeps', 'genotypes', 'explanations'] as const;
export type View = (typeof VIEWS)[number];

export interface Route {
  view: View;
  id: number | null;
  other: number | null; // what it is compared with
}

export function routeOf(hash: string): Route {
  const match = /^#\/(\w+)(?:\/(\d+)(?:\/compare\/(\d+))?)?$/.exec(hash);
  const view = VIEWS.find((name) => name === match?.[1]);
  const number = (text: string | undefined) => (text === undefined ? null : Number(text));

  return view ? { view, id: number(match?.[2]), other: number(match?.[3]) } : { view: 'jobs', id: null, other: null };
}

export const addressTo = (view: View, id?: number, other?: number) =>
  `#/${view}${id === undefined ? '' : `/${id}`}${other === undefined ? '' : `/compare/${other}`}`;

export function useRoute(): Route {
  const [route, setRoute] = useState(() => routeOf(window.location.hash));

  useEffect(() => {
    const onChange = () => setRoute(routeOf(window.location.hash));
    window.addEventListener('hashchange', onChange);
    return () => window.removeEventListener('hashchange', onChange);
  }, []);
  return route;
}

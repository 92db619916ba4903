/** How an address is answered: what is kept of it, under which name, and who is asked first. */

/**
 * `shell`: the page's own files, of one version. `kept`: they never change. `node`: what is kept is
 * for when the node is gone. `both`: at once from what is kept, and asked for again behind it.
 */
export type First = 'shell' | 'kept' | 'node' | 'both';

export type ShelfName = 'fonts' | 'basemap' | 'readings' | 'answers';

export interface Plan {
  readonly first: First;
  readonly shelf: ShelfName;
  readonly key: string;
}

/** The addresses of the pages; what stands behind the question mark is read by their scripts. */
const PAGES: readonly string[] = ['/', '/kiosk', '/admin'];
const ANSWERS =
  /^\/(basemap\.json|tiles\/readings\.json|api\/v1\/(status|standard|alerts|sensors(\/[^/]+(\/(history|explain))?)?))$/;
/** What makes an address new each time and its answer no different thing. */
const PASSING = ['v', 'from', 'to'];

/** Null: the node alone answers this, and nothing of it is kept. */
export function planFor({ pathname, searchParams }: URL): Plan | null {
  if (PAGES.includes(pathname)) return { first: 'shell', shelf: 'fonts', key: pathname };
  if (pathname.startsWith('/assets/')) return assetPlan(pathname);
  const key = lasting(pathname, searchParams);
  if (pathname.startsWith('/basemap/')) return { first: 'node', shelf: 'basemap', key };
  if (pathname.startsWith('/api/v1/grids/')) return { first: 'both', shelf: 'readings', key };
  if (ANSWERS.test(pathname)) return { first: 'node', shelf: 'answers', key };
  // Hours that have passed are looked at once: `at` names one.
  const isTile = pathname.startsWith('/tiles/readings/') && !searchParams.has('at');
  return isTile ? { first: 'node', shelf: 'readings', key } : null;
}

function assetPlan(pathname: string): Plan {
  const isFont = pathname.endsWith('.woff2');
  return { first: isFont ? 'kept' : 'shell', shelf: 'fonts', key: pathname };
}

function lasting(pathname: string, searchParams: URLSearchParams): string {
  const query = new URLSearchParams(searchParams);
  const [from, to] = [query.get('from'), query.get('to')];
  for (const name of PASSING) query.delete(name);
  // A week is no month with nothing in most of it.
  if (from && to) query.set('length', String(Date.parse(to) - Date.parse(from)));
  query.sort();
  return query.size > 0 ? `${pathname}?${query}` : pathname;
}

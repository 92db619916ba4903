/** The page's address is its share link: `?sensor=` names the chosen sensor, the hash the view. */

export function sensorInAddress(): string | null {
  return new URLSearchParams(location.search).get('sensor');
}

export function viewInAddress(): boolean {
  return location.hash.length > 1;
}

export function putSensorInAddress(id: string | null): void {
  const address = new URL(location.href);
  if (id === null) address.searchParams.delete('sensor');
  else address.searchParams.set('sensor', id);
  history.replaceState(history.state, '', address);
}

/** What others open to see this sensor as it is seen here. */
export function shareAddress(id: string): string {
  const address = new URL('/', location.href);
  address.searchParams.set('sensor', id);
  return address.href;
}

/** The same without what only helps a visitor of the page itself. */
export function embedAddress(id: string): string {
  const address = new URL(shareAddress(id));
  address.searchParams.set('embed', '1');
  return address.href;
}

export function isEmbedded(): boolean {
  return new URLSearchParams(location.search).has('embed');
}

/** The sites a kiosk is to show, by id; none: all. */
export function kioskSites(): string[] {
  return new URLSearchParams(location.search).get('sites')?.split(',').filter(Boolean) ?? [];
}

/** How long a site stands, in ms: `?every=` seconds, 10 if it says nothing sensible. */
export function kioskStop(): number {
  const every_s = Number(new URLSearchParams(location.search).get('every'));
  return every_s >= 1 && every_s <= 3600 ? every_s * 1000 : 10_000;
}

/** Where to go back to when somebody came from a kiosk; null for all others. */
export function kioskBehind(): string | null {
  const query = new URLSearchParams(location.search);
  if (query.get('from') !== 'kiosk') return null;
  query.delete('from');
  return query.size > 0 ? `/kiosk?${query}` : '/kiosk';
}

export function liveAddress(): string {
  const scheme = location.protocol === 'https:' ? 'wss' : 'ws';
  return `${scheme}://${location.host}/ws`;
}

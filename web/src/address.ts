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

export function liveAddress(): string {
  const scheme = location.protocol === 'https:' ? 'wss' : 'ws';
  return `${scheme}://${location.host}/ws`;
}

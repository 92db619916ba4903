/** Which sites a kiosk shows, one after the other; pure. */

import { knownTimeZone } from '../format';
import { byName, conditionOf, type Sensor, type State } from '../state';

/** How many of the following ones are shown beside it. */
export const BESIDE = 6;

/** From 21 to 7 o'clock a bright screen only disturbs. */
const EVENING_H = 21;
const MORNING_H = 7;

export interface Stop {
  readonly site: Sensor;
  /** Those that follow, the next first. */
  readonly beside: readonly Sensor[];
}

/**
 * The sites that can be shown: with an index that is fresh and trusted, by name. `wanted` names
 * them by id; none: all.
 */
export function sites(state: State, wanted: readonly string[], now_ms: number): Sensor[] {
  const isWanted = ({ id }: Sensor) => wanted.length === 0 || wanted.includes(id);
  const isShown = ({ latest }: Sensor) =>
    latest !== null && latest.index !== null && conditionOf(latest, now_ms) === 'fresh';
  return [...state.sensors.values()]
    .filter((sensor) => isWanted(sensor) && isShown(sensor))
    .sort(inOrder);
}

/**
 * The site after `shown`, and what follows it. A site that has gone is passed over: its place in
 * the order is where the tour goes on.
 */
export function nextStop(found: readonly Sensor[], shown: Sensor | null): Stop | null {
  const after = shown ? found.findIndex((site) => inOrder(site, shown) > 0) : 0;
  return stopAt(found, Math.max(after, 0));
}

/** The same site with what is known of it now; the next one when it can no longer be shown. */
export function sameStop(found: readonly Sensor[], shown: Sensor | null): Stop | null {
  const place = found.findIndex(({ id }) => id === shown?.id);
  return place < 0 ? nextStop(found, shown) : stopAt(found, place);
}

/** Whether a screen should be dark, by the hour in the node's time zone. */
export function isNight(at_ms: number, timeZone: string | undefined): boolean {
  const zone = knownTimeZone(timeZone);
  const options = { hour: 'numeric', hourCycle: 'h23', ...(zone && { timeZone: zone }) } as const;
  const hour = Number(new Intl.DateTimeFormat('en', options).format(at_ms));
  return hour >= EVENING_H || hour < MORNING_H;
}

function inOrder(a: Sensor, b: Sensor): number {
  return byName.compare(a.name, b.name) || byName.compare(a.id, b.id);
}

function stopAt(found: readonly Sensor[], place: number): Stop | null {
  const site = found[place];
  if (!site) return null;
  const others = [...found.slice(place + 1), ...found.slice(0, place)];
  return { site, beside: others.slice(0, BESIDE) };
}

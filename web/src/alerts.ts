/** Which alerts the page tells of; pure. */

import type { Alert, AlertList } from './api-types';
import type { State } from './state';

/**
 * A silent or stuck sensor is for who looks after it: what is dangerous to breathe is for all.
 *
 * The same alerts again are no news: nothing is drawn, or read out, a second time.
 */
export function withAlerts(state: State, { alerts }: AlertList): State {
  const raised = alerts.filter(
    ({ when, cleared_at }) => cleared_at == null && (when === 'over' || when === 'under'),
  );
  if (JSON.stringify(raised) === JSON.stringify(state.alerts)) return state;
  return { ...state, alerts: raised };
}

/** Those that the reader has not put away. */
export function freshAlerts({ alerts, seenAlerts }: State): readonly Alert[] {
  return alerts.filter(({ id }) => !seenAlerts.has(id));
}

export function withAlertsSeen(state: State): State {
  return { ...state, seenAlerts: new Set(state.alerts.map(({ id }) => id)) };
}

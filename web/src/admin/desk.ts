/** Reads what the administration is drawn from. */

import { desk as node } from './api';
import type { Desk } from './view';
import { api, OF_THE_NODE } from '../api';
import type { LoggedIn } from '../api-types';
import { SENSOR_LIMIT, sensorOf } from '../state';

type Often = Pick<Desk, 'status' | 'sensors' | 'alerts' | 'inbox' | 'nearby' | 'letters'>;
type Seldom = Pick<Desk, 'rules' | 'reports' | 'settings'>;

/**
 * All of it; with what is known from `before` only what changes by itself, because each request
 * counts among those that a token has in a minute.
 *
 * Raises `ApiError`: 401 when nobody is logged in, 0 when the node does not answer.
 */
export async function readDesk(who: LoggedIn, before: Desk | null): Promise<Desk> {
  const [seldom, often] = await Promise.all([before ?? readSeldom(who), readOften()]);
  return { ...seldom, ...often, who };
}

async function readOften(): Promise<Often> {
  const [status, list, alerts, inbox, nearby, letters] = await Promise.all([
    api.status(OF_THE_NODE),
    api.sensors(SENSOR_LIMIT, OF_THE_NODE),
    api.alerts(OF_THE_NODE),
    node.inbox(),
    node.nearby(),
    node.letters(),
  ]);
  const sensors = list.sensors.map(sensorOf);
  return { status, sensors, alerts: alerts.alerts, inbox, nearby, letters };
}

async function readSeldom({ scope }: LoggedIn): Promise<Seldom> {
  const [rules, reports, settings] = await Promise.all([
    node.rules(),
    node.reports(),
    scope === 'admin' ? node.settings() : null,
  ]);
  return { rules, reports, settings };
}

export function mayAdminister({ scope }: LoggedIn): boolean {
  return scope === 'operator' || scope === 'admin';
}

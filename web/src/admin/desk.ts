/** Reads what the administration is drawn from, all of it at once. */

import { desk as node } from './api';
import type { Desk } from './view';
import { api } from '../api';
import type { LoggedIn } from '../api-types';
import { SENSOR_LIMIT, sensorOf } from '../state';

/** Whoever has just changed something looks for it: no answer from before will do. */
const NOW: RequestInit = { cache: 'no-cache' };

/** Raises `ApiError`: 401 when nobody is logged in, 0 when the node does not answer. */
export async function readDesk(who: LoggedIn): Promise<Desk> {
  const [status, list, alerts, inbox, nearby, letters, rules, reports, settings] =
    await Promise.all([
      api.status(),
      api.sensors(SENSOR_LIMIT, NOW),
      api.alerts(NOW),
      node.inbox(),
      node.nearby(),
      node.letters(),
      node.rules(),
      node.reports(),
      who.scope === 'admin' ? node.settings() : null,
    ]);
  const sensors = list.sensors.map(sensorOf);
  return {
    who,
    status,
    sensors,
    alerts: alerts.alerts,
    inbox,
    nearby,
    letters,
    rules,
    reports,
    settings,
  };
}

export function mayAdminister({ scope }: LoggedIn): boolean {
  return scope === 'operator' || scope === 'admin';
}

import { expect, test } from 'vitest';

import type { Alert } from '../src/api-types';
import { freshAlerts, withAlerts, withAlertsSeen } from '../src/alerts';
import { initialState } from '../src/state';
import { NOON } from './samples';

function alert(id: number, changes: Partial<Alert> = {}): Alert {
  return {
    id,
    rule_id: 1,
    rule: 'pm25 over 25',
    when: 'over',
    quantity: 'pm25',
    threshold: 25,
    sensor_id: 'a',
    sensor_name: 'School 12',
    raised_at: NOON,
    ...changes,
  };
}

function known(...alerts: Alert[]) {
  return { alerts, count: alerts.length, raised: alerts.length };
}

test('the public hears of what is in the air now, not of sensors to look after', () => {
  const told = known(
    alert(1),
    alert(2, { cleared_at: NOON, cleared_by: 'value' }),
    alert(3, { when: 'silent', quantity: null, threshold: null }),
    alert(4, { when: 'under', quantity: 'temperature', threshold: -10 }),
  );
  expect(withAlerts(initialState, told).alerts.map(({ id }) => id)).toEqual([1, 4]);
});

test('what was put away stays away, and a new alert is shown all the same', () => {
  const seen = withAlertsSeen(withAlerts(initialState, known(alert(1))));
  expect(freshAlerts(seen)).toEqual([]);
  const later = withAlerts(seen, known(alert(2), alert(1)));
  expect(freshAlerts(later).map(({ id }) => id)).toEqual([2]);
});

import { expect, test } from 'vitest';

import type { Alert } from '../src/api-types';
import { freshAlerts, withAlerts, withAlertsSeen } from '../src/alerts';
import { alertLines } from '../src/banner';
import { createFormat } from '../src/format';
import { createWords } from '../src/i18n';
import { initialState, type State } from '../src/state';
import { NOON, NOON_MS } from './samples';

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

test('the same alerts read again are no news', () => {
  const told = withAlerts(initialState, known(alert(2), alert(1)));
  expect(withAlerts(told, known(alert(2), alert(1)))).toBe(told);
  expect(withAlerts(told, known(alert(2))).alerts.map(({ id }) => id)).toEqual([2]);
  expect(withAlerts(told, known(alert(2, { threshold: 50 }), alert(1)))).not.toBe(told);
});

function lines(state: State, now_ms: number): string[] {
  const view = { state, words: createWords('en'), format: createFormat('en-GB', 'UTC'), now_ms };
  return alertLines(view).map(({ text }) => text);
}

test('what is said of an alert stays word for word until the day is another', () => {
  const state = withAlerts(initialState, known(alert(1)));
  const [said] = lines(state, NOON_MS);
  expect(said).toBe('PM2.5 at School 12 over 25\u00a0µg/m³ since 12:00');
  expect(lines(state, NOON_MS + 3_600_000)).toEqual([said]);
  expect(lines(state, NOON_MS + 86_400_000)[0]).toMatch(/since .*Jun.*12:00/);
});

test('three are said, and how many there are beyond them', () => {
  const five = [5, 4, 3, 2, 1].map((id) => alert(id, { sensor_name: `School ${id}` }));
  const said = lines(withAlerts(initialState, known(...five)), NOON_MS);
  expect(said).toHaveLength(4);
  expect(said[0]).toContain('School 5');
  expect(said[3]).toBe('2 more');
});

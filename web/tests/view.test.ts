import { expect, test } from 'vitest';

import { createFormat } from '../src/format';
import { createWords } from '../src/i18n';
import { conditionOf, initialState, type Latest } from '../src/state';
import { standing } from '../src/view';
import { MINUTE_MS, NOON_MS, usEpa } from './samples';

function stated(changes: Partial<Latest>): string {
  const state = { ...initialState, standard: usEpa };
  const [words, format] = [createWords('en'), createFormat('en-GB', 'UTC')];
  const good = { at: NOON_MS, index: 42, level: 1, dominant: 'pm25', flags: [] };
  const latest: Latest = { ...good, ...changes };
  const condition = conditionOf(latest, NOON_MS);
  return standing({ state, words, format, now_ms: NOON_MS }, latest, condition);
}

test('how it is at a sensor is said only while that is known', () => {
  const old = NOON_MS - 20 * MINUTE_MS;
  expect(stated({})).toBe('Good');
  expect(stated({ flags: ['spike'] })).toBe('Not trusted');
  expect(stated({ at: old })).toBe('No data since 11:40');
  expect(stated({ at: old, flags: ['spike'] })).toBe('No data since 11:40');
});

import { expect, test } from 'vitest';

import { createFormat } from '../src/format';
import { createWords } from '../src/i18n';
import { initialState, withBar, withLink, type State } from '../src/state';
import { linkMessages } from '../src/topbar';
import { MINUTE_MS, NOON_MS } from './samples';

const EIGHT = Date.parse('2026-06-01T08:00:00Z') / 3_600_000;

function told(state: State): string[] {
  const [words, format] = [createWords('en'), createFormat('en-GB', 'UTC')];
  return linkMessages({ state, words, format, now_ms: NOON_MS });
}

test('nothing is said while the map is of now', () => {
  expect(told(withLink(initialState, 'live', NOON_MS))).toEqual([]);
});

test('that the map shows the past is said also while the node is gone', () => {
  const lost = withLink(initialState, 'lost', NOON_MS - MINUTE_MS);
  const past = { ...lost, heardAt: NOON_MS - MINUTE_MS, replayedHour: EIGHT };
  expect(told(past)).toEqual([
    'The map is not live: mean of the hour 08:00–09:00',
    'Data from 11:59, reconnecting',
  ]);
  expect(told({ ...past, replayedHour: null })).toEqual(['Data from 11:59, reconnecting']);
});

test('who has to log in first is told that, and not that the node is gone', () => {
  const barred = withBar(withLink(initialState, 'lost', NOON_MS - MINUTE_MS), true);
  expect(told(barred)).toEqual(['This node shows its readings only to those who log in.']);
});

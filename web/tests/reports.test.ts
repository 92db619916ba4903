import { expect, test } from 'vitest';

import type { Shown } from '../src/api-types';
import { createFormat } from '../src/format';
import { createWords } from '../src/i18n';
import { reportLines } from '../src/reports/lines';
import { initialState } from '../src/state';
import { NOON, NOON_MS } from './samples';

const view = {
  state: initialState,
  words: createWords('en'),
  format: createFormat('en-GB', 'UTC'),
  now_ms: NOON_MS,
};

function report(changes: Partial<Shown> = {}): Shown {
  return { id: 1, kind: 'smoke', note: '', lat: 60.17, lng: 24.94, at: NOON, ...changes };
}

test('a report is told by its kind, its time and its note', () => {
  const yesterday = '2026-05-31T18:30:00Z';
  const told = [report({ note: 'By the harbour' }), report({ kind: 'dust', at: yesterday })];
  const [smoke, dust] = reportLines(view, told);
  expect(smoke).toEqual({ title: 'Smoke, 12:00', note: 'By the harbour' });
  expect(dust?.title).toMatch(/^Dust, .*31.*18:30$/);
});

test('of very many the newest hundred are told', () => {
  const many = Array.from({ length: 250 }, (_, place) => report({ note: String(place) }));
  const notes = reportLines(view, many).map(({ note }) => note);
  expect([notes.length, notes[0], notes[99]]).toEqual([100, '0', '99']);
});

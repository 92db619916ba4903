import { expect, test } from 'vitest';

import { initialState, withSensorList, type State } from '../src/state';
import { isNight, nextStop, sameStop, sites } from '../src/kiosk/tour';
import { latestReading, MINUTE_MS, NOON_MS, sensorEntry } from './samples';

function stateWith(...names: string[]): State {
  return withSensorList(
    initialState,
    names.map((name) => sensorEntry(name, latestReading())),
  );
}

test('only sites whose number can be trusted as current are shown', () => {
  const state = withSensorList(initialState, [
    sensorEntry('old', latestReading({ timestamp: '2026-06-01T11:00:00Z' })),
    sensorEntry('doubtful', latestReading({ flags: ['spike'] })),
    sensorEntry('weather', latestReading({ aqi_value: null, level: null })),
    sensorEntry('silent', null),
    sensorEntry('good', latestReading()),
  ]);
  expect(sites(state, [], NOON_MS + MINUTE_MS).map(({ id }) => id)).toEqual(['good']);
});

test('a tour takes each site in turn and begins again', () => {
  const found = sites(stateWith('a', 'b', 'c'), [], NOON_MS);
  let shown = nextStop(found, null);
  const visited = [shown?.site.id];
  for (let step = 0; step < 3; step++) {
    shown = nextStop(found, shown?.site ?? null);
    visited.push(shown?.site.id);
  }
  expect(visited).toEqual(['a', 'b', 'c', 'a']);
});

test('beside a site stand those that follow', () => {
  const found = sites(stateWith('a', 'b', 'c'), [], NOON_MS);
  expect(nextStop(found, found[0] ?? null)?.beside.map(({ id }) => id)).toEqual(['c', 'a']);
});

test('a site that falls silent makes room for the one after it', () => {
  const before = sites(stateWith('a', 'b', 'c'), [], NOON_MS);
  const after = sites(stateWith('a', 'c'), [], NOON_MS);
  expect(sameStop(after, before[1] ?? null)?.site.id).toBe('c');
  expect(sameStop([], before[1] ?? null)).toBeNull();
});

test('a kiosk can be told which sites are its own', () => {
  const found = sites(stateWith('a', 'b', 'c'), ['c', 'a', 'unknown'], NOON_MS);
  expect(found.map(({ id }) => id)).toEqual(['a', 'c']);
});

test('night falls by the clock of the node, not of the screen', () => {
  const evening = Date.parse('2026-06-01T18:30:00Z');
  expect(isNight(evening, 'Europe/Helsinki')).toBe(true); // 21:30 there
  expect(isNight(evening, 'Europe/London')).toBe(false); // 19:30 there
  expect(isNight(Date.parse('2026-06-01T04:30:00Z'), 'Europe/Helsinki')).toBe(false); // 7:30
});

test('a zone that this browser does not know stops no screen', () => {
  expect([true, false]).toContain(isNight(NOON_MS, 'Mars/Olympus_Mons'));
});

import { describe, expect, test } from 'vitest';

import type { NodeStatus, SensorDetail, SensorEntry } from '../src/api-types';
import {
  cityIndex,
  conditionOf,
  initialState,
  isCutOff,
  isLate,
  listedSensors,
  SENSOR_LIMIT,
  simulation,
  withDetail,
  withLink,
  withProblem,
  withReadings,
  withSelection,
  withSensorList,
  type Latest,
  type State,
} from '../src/state';
import { latestReading, MINUTE_MS, NOON, NOON_MS, readingRow, sensorEntry } from './samples';

function stateOf(...entries: SensorEntry[]): State {
  return withSensorList(initialState, entries);
}

function sensorsWithIndexes(...indexes: number[]): SensorEntry[] {
  return indexes.map((index, place) =>
    sensorEntry(`s${place}`, latestReading({ aqi_value: index })),
  );
}

test('a reading that took longer than an hour to arrive tells of a wrong clock', () => {
  const at = '2026-06-01T12:00:00Z';
  const took = (received_at?: string) =>
    stateOf(
      sensorEntry('a', latestReading({ timestamp: at, ...(received_at && { received_at }) })),
    ).sensors.get('a')!.latest!;
  expect(isLate(took('2026-06-01T13:00:00Z'))).toBe(false);
  expect(isLate(took('2026-06-01T13:00:01Z'))).toBe(true);
  expect(isLate(took())).toBe(false);
});

describe('live readings', () => {
  test('a newer reading replaces the known one and keeps the name', () => {
    const state = withReadings(stateOf(sensorEntry('a', latestReading())), [readingRow('a')]);
    const sensor = state.sensors.get('a');
    expect(sensor?.name).toBe('Sensor a');
    expect(sensor?.latest).toMatchObject({ index: 56, level: 2, at: NOON_MS + MINUTE_MS });
  });

  test('an older reading changes nothing', () => {
    const known = stateOf(sensorEntry('a', latestReading()));
    const state = withReadings(known, [readingRow('a', { timestamp: '2026-06-01T11:59:00Z' })]);
    expect(state.sensors.get('a')?.latest?.index).toBe(42);
  });

  test('an older list does not undo a newer reading', () => {
    const live = withReadings(stateOf(sensorEntry('a', latestReading())), [readingRow('a')]);
    const state = withSensorList(live, [sensorEntry('a', latestReading())]);
    expect(state.sensors.get('a')?.latest?.index).toBe(56);
  });

  test('a sensor that was moved is where it measured last, whatever its entry says', () => {
    const there = { lat: 63, lng: 24 };
    const listed = stateOf(sensorEntry('a', latestReading(there)));
    expect(listed.sensors.get('a')?.place).toEqual(there);
    const moved = withReadings(listed, [readingRow('a', { lat: 64 })]);
    const state = withSensorList(moved, [sensorEntry('a', latestReading(there))]);
    expect(state.sensors.get('a')?.place?.lat).toBe(64);
  });

  test('a sensor not seen before goes by its id', () => {
    expect(withReadings(initialState, [readingRow('new')]).sensors.get('new')?.name).toBe('new');
  });

  test('the dominant quantity of a row is the one whose sub-index is the index', () => {
    const row = readingRow('a', { aqi_value: 61, pm10_aqi: 61 });
    expect(withReadings(initialState, [row]).sensors.get('a')?.latest?.dominant).toBe('pm10');
  });

  test('sensors beyond the bound are not kept', () => {
    const full = Array.from({ length: SENSOR_LIMIT }, (_, n) => sensorEntry(`s${n}`, null));
    const state = withReadings(stateOf(...full), [readingRow('one more'), readingRow('s7')]);
    expect(state.sensors.size).toBe(SENSOR_LIMIT);
    expect(state.sensors.get('s7')?.latest?.index).toBe(56);
  });

  test('the step leaves the state before it as it was', () => {
    const before = stateOf(sensorEntry('a', latestReading()));
    withReadings(before, [readingRow('a'), readingRow('b')]);
    expect([...before.sensors.keys()]).toEqual(['a']);
    expect(before.sensors.get('a')?.latest?.index).toBe(42);
  });
});

describe('the chosen sensor', () => {
  const detail: SensorDetail = {
    ...sensorEntry('a', null),
    registered_at: '2026-01-01T00:00:00Z',
    averages: {
      until: NOON,
      aqi_value: 38,
      level: 1,
      dominant: 'pm25',
      nowcast_aqi: 38,
      nowcast: { pm25: 6.9 },
      mean_24h: {},
    },
    latest: {
      ...latestReading(),
      source: 'api',
      values: {
        humidity: { value: 81, unit: '%', aqi: null },
        no2: { value: 14.2, unit: 'ppb', aqi: 13 },
        pm25: { value: 9.1, unit: 'µg/m³', aqi: 51 },
      },
    },
  };

  test('shows its values in the order of a panel, pollutants first', () => {
    const state = withDetail(withSelection(initialState, 'a'), detail);
    expect(state.selection?.values).toEqual([
      { quantity: 'pm25', value: 9.1, unit: 'µg/m³', index: 51 },
      { quantity: 'no2', value: 14.2, unit: 'ppb', index: 13 },
      { quantity: 'humidity', value: 81, unit: '%', index: null },
    ]);
  });

  test('follows live readings, without quantities that are absent', () => {
    const chosen = withDetail(withSelection(initialState, 'a'), detail);
    const values = withReadings(chosen, [readingRow('a')]).selection?.values;
    expect(values?.map(({ quantity, value }) => [quantity, value])).toEqual([
      ['pm25', 12.3],
      ['pm10', 20.1],
      ['temperature', 4.5],
    ]);
  });

  test('keeps what it has when an answer is older than what is known', () => {
    const live = withReadings(stateOf(sensorEntry('a', latestReading())), [readingRow('a')]);
    const unknown = withDetail(withProblem(withSelection(live, 'a'), 'a', 'unreachable'), detail);
    expect(unknown.sensors.get('a')?.latest?.index).toBe(56);
    expect(unknown.selection).toEqual({
      id: 'a',
      values: null,
      averagedIndex: null,
      problem: null,
    });
    const known = withReadings(withDetail(withSelection(initialState, 'a'), detail), [
      readingRow('a'),
    ]);
    expect(withDetail(known, detail).selection).toEqual(known.selection);
    expect(known.selection).toMatchObject({ averagedIndex: 38 });
    expect(withDetail(known, { ...detail, latest: null }).selection).toEqual(known.selection);
  });

  test('an answer for a sensor chosen before does not show under this one', () => {
    const state = withDetail(withSelection(initialState, 'b'), detail);
    expect(state.selection).toEqual({ id: 'b', values: null, averagedIndex: null, problem: null });
  });

  test('a problem is cleared by the answer that follows', () => {
    const failed = withProblem(withSelection(initialState, 'a'), 'a', 'unreachable');
    expect(failed.selection?.problem).toBe('unreachable');
    expect(withDetail(failed, detail).selection?.problem).toBeNull();
  });
});

describe('how far a reading is to be trusted', () => {
  const latest: Latest = { at: NOON_MS, index: 42, level: 1, dominant: 'pm25', flags: [] };

  test('it is fresh for 15 minutes and stale after them', () => {
    expect(conditionOf(latest, NOON_MS + 15 * MINUTE_MS)).toBe('fresh');
    expect(conditionOf(latest, NOON_MS + 15 * MINUTE_MS + 1)).toBe('stale');
  });

  test('a flag shows whether it is stale or not', () => {
    const flagged = { ...latest, flags: ['spike'] };
    expect(conditionOf(flagged, NOON_MS)).toBe('flagged');
    expect(conditionOf(flagged, NOON_MS + 16 * MINUTE_MS)).toBe('stale-flagged');
  });
});

describe("the city's value", () => {
  test('is the middle one of an odd number', () => {
    const state = stateOf(...sensorsWithIndexes(90, 10, 40));
    expect(cityIndex(state, NOON_MS)).toEqual({ index: 40, count: 3 });
  });

  test('is halfway between the middle two of an even number', () => {
    const state = stateOf(...sensorsWithIndexes(10, 500, 40, 51));
    expect(cityIndex(state, NOON_MS)).toEqual({ index: 46, count: 4 });
  });

  test('leaves out flagged, stale, silent and ungraded sensors', () => {
    const state = stateOf(
      ...sensorsWithIndexes(30),
      sensorEntry('flagged', latestReading({ aqi_value: 400, flags: ['range'] })),
      sensorEntry('stale', latestReading({ aqi_value: 400, timestamp: '2026-06-01T11:00:00Z' })),
      sensorEntry('ungraded', latestReading({ aqi_value: null, level: null })),
      sensorEntry('silent', null),
    );
    expect(cityIndex(state, NOON_MS)).toEqual({ index: 30, count: 1 });
  });

  test('is nothing when nothing is current', () => {
    const state = stateOf(...sensorsWithIndexes(30));
    expect(cityIndex(state, NOON_MS + 16 * MINUTE_MS)).toBeNull();
  });
});

describe('what is simulated', () => {
  const simulated = { ...sensorEntry('a', null), source: 'simulated' };

  test('a demonstration simulates all', () => {
    const state = { ...stateOf(sensorEntry('a', null)), status: { demo: true } as NodeStatus };
    expect(simulation(state)).toBe('all');
  });

  test('one simulated sensor among measured ones makes it some', () => {
    expect(simulation(stateOf(simulated, sensorEntry('b', null)))).toBe('some');
    expect(simulation(stateOf(simulated))).toBe('all');
    expect(simulation(stateOf(sensorEntry('b', null)))).toBe('none');
  });
});

describe('the list of sensors', () => {
  const state = stateOf(
    sensorEntry('low', latestReading({ aqi_value: 12 })),
    sensorEntry('flagged', latestReading({ aqi_value: 499, flags: ['stuck'] })),
    sensorEntry('high', latestReading({ aqi_value: 160 })),
    { ...sensorEntry('x', null), name: 'School at the river' },
  );

  test('begins with the worst that can be trusted', () => {
    const ids = listedSensors(state, '', NOON_MS).map(({ id }) => id);
    expect(ids.slice(0, 2)).toEqual(['high', 'low']);
  });

  test('finds by part of a name, in any case', () => {
    expect(listedSensors(state, ' SCHOOL ', NOON_MS).map(({ id }) => id)).toEqual(['x']);
  });
});

describe('the connection', () => {
  const lost = withLink(initialState, 'lost', NOON_MS);

  test('is worth a word once it has been lost for two seconds', () => {
    expect(isCutOff(lost, NOON_MS + 1999)).toBe(false);
    expect(isCutOff(lost, NOON_MS + 2000)).toBe(true);
  });

  test('lost again while lost counts from the first time', () => {
    expect(isCutOff(withLink(lost, 'lost', NOON_MS + 1500), NOON_MS + 2000)).toBe(true);
  });

  test('that is back is not cut off', () => {
    expect(isCutOff(withLink(lost, 'live', NOON_MS + 9000), NOON_MS + 9000)).toBe(false);
  });
});

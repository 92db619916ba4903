import { describe, expect, test } from 'vitest';

import type { Buckets, Series } from '../src/api-types';
import { asCsv, courseOf, lonePlaces, quantitiesIn, reaches, together } from '../src/panel/series';

function series(avg: (number | null)[], flagged = avg.map(() => 0)): Series {
  const count = avg.map((value) => (value === null ? 0 : 3));
  return { unit: 'µg/m³', count, avg, min: avg, max: avg, flagged };
}

function history(at: string[], of: Record<string, Series>): Buckets {
  return {
    sensor_id: 'a',
    resolution: '5m',
    from: '2026-06-01T12:00:00Z',
    to: '2026-06-01T13:00:00Z',
    time_zone: 'UTC',
    at: at.map((time) => `2026-06-01T${time}:00Z`),
    series: of,
  };
}

const NOON_S = Date.parse('2026-06-01T12:00:00Z') / 1000;

test('an answer that ends before a chart begins is none for it', () => {
  const kept = history(['12:00'], { pm25: series([1]) });
  expect(reaches(kept, Date.parse('2026-06-01T12:59:59Z'))).toBe(true);
  expect(reaches(kept, Date.parse('2026-06-01T13:00:00Z'))).toBe(false);
});

describe('a course', () => {
  test('breaks where a bucket is missing', () => {
    const course = courseOf(
      history(['12:00', '12:05', '12:20'], { pm25: series([1, 2, 3]) }),
      'pm25',
      300,
    );
    expect(course.at.map((at) => at - NOON_S)).toEqual([0, 300, 600, 1200]);
    expect(course.avg).toEqual([1, 2, null, 3]);
  });

  test('does not break where the clocks are put back: that day has 25 hours', () => {
    const days = history([], { pm25: series([1, 2]) });
    days.at.push('2026-10-24T21:00:00Z', '2026-10-25T22:00:00Z');
    expect(courseOf(days, 'pm25', 86_400).avg).toEqual([1, 2]);
  });

  test('shows doubtful readings at the mean beside them, or at the bottom without one', () => {
    const course = courseOf(
      history(['12:00', '12:05', '12:10'], { pm25: series([4, 7, null], [0, 1, 2]) }),
      'pm25',
      300,
    );
    expect(course.doubtful).toEqual([null, 7, 4]);
  });

  test('of a quantity that was never measured is empty', () => {
    expect(courseOf(history(['12:00'], {}), 'pm25', 300).at).toEqual([]);
  });
});

test('two courses share the moments of both', () => {
  const one = courseOf(history(['12:00', '12:05'], { pm25: series([1, 2]) }), 'pm25', 300);
  const other = courseOf(history(['12:05', '12:10'], { pm25: series([8, 9]) }), 'pm25', 300);
  const { at, columns } = together(one, other);
  expect(at.map((moment) => moment - NOON_S)).toEqual([0, 300, 600]);
  expect(columns[0]).toEqual([1, 2, null]);
  expect(columns[4]).toEqual([null, 8, 9]);
});

test('a value between two gaps stands alone: no line would show it', () => {
  expect(lonePlaces([3, null, 4, 5, null, 6])).toEqual([0, 5]);
  expect(lonePlaces([null, undefined, 7])).toEqual([2]);
  expect(lonePlaces([])).toEqual([]);
});

test('only quantities of which something is known are offered', () => {
  const known = { aqi: series([null]), pm25: series([null], [2]), no2: series([5]) };
  expect(quantitiesIn(history(['12:00'], known))).toEqual(['pm25', 'no2']);
});

test('a spreadsheet gets a line per bucket, and nothing where nothing was measured', () => {
  const told = history(['12:00', '12:05'], { pm25: series([12.5, null], [0, 1]) });
  const own = { ...told, time_zone: 'Europe/Helsinki' };
  expect(asCsv(own).split('\r\n')).toEqual([
    'at,time (Europe/Helsinki),pm25_avg (µg/m³),pm25_min (µg/m³),pm25_max (µg/m³),pm25_count,pm25_flagged',
    '2026-06-01T12:00:00Z,2026-06-01 15:00:00,12.5,12.5,12.5,3,0',
    '2026-06-01T12:05:00Z,2026-06-01 15:05:00,,,,0,1',
    '',
  ]);
  const third = asCsv(history(['12:00'], { pm25: series([100 / 3]) }));
  expect(third).toContain(',33.333,33.333,33.333,3,0\r\n');
});

test('where the zone of the node is not known here, its column is in UTC and says so', () => {
  const abroad = { ...history(['12:00'], { pm25: series([1]) }), time_zone: 'Mars/Olympus_Mons' };
  const [head, line] = asCsv(abroad).split('\r\n');
  expect(head).toContain('time (UTC)');
  expect(line).toContain('2026-06-01T12:00:00Z,2026-06-01 12:00:00,');
});

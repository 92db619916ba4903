import { describe, expect, test } from 'vitest';

import {
  bandOfIndex,
  colored,
  positionOnBands,
  relativeLuminance,
  stepAt,
  stepsOf,
  textColorOn,
} from '../src/standard';
import { usEpa } from './samples';

test('an index belongs to the band it falls in, one beyond the table to the last', () => {
  const levels = [0, 50, 51, 100, 101, 300, 301, 900].map(
    (index) => bandOfIndex(usEpa, index)?.level,
  );
  expect(levels).toEqual([1, 1, 2, 2, 3, 5, 6, 6]);
});

test('on a bar every band is equally wide', () => {
  expect(positionOnBands(usEpa, 0)).toBe(0);
  expect(positionOnBands(usEpa, 25)).toBeCloseTo(0.5 / 6);
  expect(positionOnBands(usEpa, 51)).toBeCloseTo(1 / 6);
  expect(positionOnBands(usEpa, 301)).toBeCloseTo(5 / 6);
  expect(positionOnBands(usEpa, 5000)).toBe(1);
});

test('a band of a single index is met in its middle', () => {
  const bands = [1, 2, 3, 4].map((level) => ({
    ...usEpa.bands[0]!,
    level,
    low: level,
    high: level,
  }));
  expect(positionOnBands({ ...usEpa, bands }, 1)).toBeCloseTo(0.5 / 4);
  expect(positionOnBands({ ...usEpa, bands }, 4)).toBeCloseTo(3.5 / 4);
});

test('luminance is that of WCAG', () => {
  expect(relativeLuminance('#000000')).toBe(0);
  expect(relativeLuminance('#ffffff')).toBeCloseTo(1);
  expect(relativeLuminance('#ff0000')).toBeCloseTo(0.2126);
});

test('the number on every band has a contrast of at least 4.5', () => {
  for (const { color } of usEpa.bands) {
    const under = relativeLuminance(color);
    const isBlack = textColorOn(color) === '#000000';
    const contrast = isBlack ? (under + 0.05) / 0.05 : 1.05 / (under + 0.05);
    expect(contrast).toBeGreaterThanOrEqual(4.5);
  }
});

test("the other palette has the standard's own assisting colours and the same bands", () => {
  const assisted = colored(usEpa, 'assist');
  // EPA-454/B-24-002, table 3: good and hazardous.
  expect([assisted.bands[0]?.color, assisted.bands[5]?.color]).toEqual(['#9eff91', '#640015']);
  expect(assisted.bands.map(({ low }) => low)).toEqual(usEpa.bands.map(({ low }) => low));
  expect(colored(usEpa, 'standard')).toBe(usEpa);
});

describe('behind a chart', () => {
  const starts = [
    { level: 1, low: 0 },
    { level: 2, low: 9.1 },
    { level: 3, low: 35.5 },
  ];
  const scale = { current: 'NowCast', unit: 'µg/m³', celsius: null, starts_unit: 'µg/m³' } as const;
  const hourly = { ...scale, period: '1h' as const, starts: [{ level: 4, low: 200 }] };
  const standard = {
    ...usEpa,
    periods: { pm25: [{ ...scale, period: '24h' as const, starts }, hourly] },
  };

  test('a pollutant has the categories of its own concentrations, and their mean', () => {
    const found = stepsOf(standard, 'pm25');
    expect(found?.period).toBe('24h');
    expect(found?.steps.map(({ low, band }) => [low, band.word])).toEqual([
      [0, 'Good'],
      [9.1, 'Moderate'],
      [35.5, 'Unhealthy for Sensitive Groups'],
    ]);
  });

  test('an index has its bands, and a temperature has none', () => {
    expect(stepsOf(standard, 'aqi')).toMatchObject({ period: null });
    expect(stepsOf(standard, 'aqi')?.steps.map(({ low }) => low)).toEqual([
      0, 51, 101, 151, 201, 301,
    ]);
    expect(stepsOf(standard, 'temperature')).toBeNull();
  });

  test('a value lies in the last category that it reaches', () => {
    const found = stepsOf(standard, 'pm25')!;
    const levels = [-1, 9, 9.1, 35.4, 35.5, 900].map((value) => stepAt(found, value)?.level);
    expect(levels).toEqual([1, 1, 2, 2, 3, 3]);
  });
});

import { describe, expect, test } from 'vitest';

import { createFormat } from '../src/format';

const english = createFormat('en', 'Europe/Helsinki', 'Europe/Helsinki');
const german = createFormat('de', 'Europe/Helsinki', 'Europe/Helsinki');
const SECOND = 1000;
const HOUR = 3600 * SECOND;

describe('measured values', () => {
  test('have one decimal below 10 and none above', () => {
    expect(english.quantity(8.24, 'µg/m³')).toBe('8.2\u00a0µg/m³');
    expect(english.quantity(12.3, 'µg/m³')).toBe('12\u00a0µg/m³');
  });

  test('that round up to 10 are written as 10', () => {
    expect(english.quantity(9.96, 'ppb')).toBe('10\u00a0ppb');
    expect(english.quantity(9.94, 'ppb')).toBe('9.9\u00a0ppb');
  });

  test('below zero keep their sign', () => {
    expect(german.quantity(-3.25, '°C')).toMatch(/^-3,3\s°C$/);
  });

  test('are written as the language does', () => {
    expect(german.quantity(4.5, 'ppm')).toBe('4,5\u00a0ppm');
    expect(english.quantity(71, '%')).toBe('71%');
    expect(german.quantity(71, '%')).toMatch(/^71\s%$/);
  });

  test('of four figures are not grouped, which reads as decimals elsewhere', () => {
    expect(german.quantity(1012.6, 'hPa')).toBe('1013\u00a0hPa');
  });
});

test('an axis tells apart what lies close together', () => {
  expect([0, 0.25, 0.5, 1013].map(german.tick)).toEqual(['0', '0,25', '0,5', '1013']);
});

test('an index is a whole number', () => {
  expect(english.index(56.5)).toBe('57');
});

describe('ages', () => {
  test('are written in the largest whole unit', () => {
    expect(english.age(12.9 * SECOND)).toBe('12 seconds ago');
    expect(english.age(59 * 60 * SECOND)).toBe('59 minutes ago');
    expect(english.age(47 * HOUR)).toBe('47 hours ago');
    expect(english.age(48 * HOUR)).toBe('2 days ago');
    expect(german.age(3 * HOUR)).toBe('vor 3 Stunden');
  });

  test('of a reading from just now, or from a clock ahead of ours, are now', () => {
    expect(english.age(900)).toBe('now');
    expect(german.age(-5 * SECOND)).toBe('jetzt');
  });

  test('in a table use symbols', () => {
    expect(english.shortAge(25 * 60 * SECOND)).toBe('25\u00a0min');
    expect(german.shortAge(50 * HOUR)).toBe('2\u00a0d');
  });
});

describe('times', () => {
  const at = Date.parse('2026-06-01T07:42:00Z');

  test('of today are given in the zone of the node', () => {
    expect(german.clock(at, at + HOUR)).toBe('10:42');
    expect(createFormat('de', 'Asia/Taipei', 'Asia/Taipei').clock(at, at)).toBe('15:42');
  });

  test('of another day carry the date', () => {
    expect(german.clock(at, at + 24 * HOUR)).toBe('01.06.2026, 10:42');
  });

  test('of a wall display go to the second on the same day, and name an earlier one', () => {
    expect(german.lately(at, at + HOUR)).toBe('10:42:00');
    expect(german.lately(at, at + 24 * HOUR)).toBe('01.06.2026, 10:42');
  });

  test('carry the name of their zone where clocks on the wall show another time', () => {
    const abroad = createFormat('en-GB', 'UTC', 'Europe/Helsinki');
    expect(abroad.clock(at, at + HOUR)).toBe('07:42\u00a0UTC');
    expect(abroad.clock(at, at + 24 * HOUR)).toBe('1 Jun 2026, 07:42\u00a0UTC');
    expect(abroad.second(at)).toBe('07:42:00\u00a0UTC');
    expect(abroad.lately(at, at)).toBe('07:42:00\u00a0UTC');
    expect(abroad.moment(at)).toBe('1 Jun, 7:42\u00a0UTC');
    expect(createFormat('en', 'Asia/Taipei', 'UTC').clock(at, at)).toMatch(/PM\sGMT\+8$/);
    expect(abroad.hour(at)).toBe('07:42');
  });

  test('carry none where another zone goes by the same time, and only as long as it does', () => {
    const neighbour = createFormat('en-GB', 'Europe/London', 'Africa/Abidjan');
    expect(neighbour.clock(at, at)).toBe('08:42\u00a0BST');
    const winter = Date.parse('2026-12-01T07:42:00Z');
    expect(neighbour.clock(winter, winter)).toBe('07:42');
  });

  test('survive a zone this browser does not know', () => {
    expect(createFormat('de', 'Mars/Olympus_Mons').clock(at, at)).toMatch(/^\d\d:\d\d$/);
  });
});

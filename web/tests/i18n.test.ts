import { describe, expect, test } from 'vitest';

import { createWords, isLanguage, languages, localeFor, preferredLanguage } from '../src/i18n';
import { en } from '../src/i18n/en';
import { QUANTITIES } from '../src/quantities';
import { usEpa } from './samples';

function placeholders(text: string): string[] {
  return [...text.matchAll(/\{(\w+)\}/g)].map((match) => match[1] ?? '').sort();
}

describe.each(Object.entries(languages))('%s', (_, { messages }) => {
  test('fills in the same placeholders as English', () => {
    for (const [key, text] of Object.entries(messages)) {
      expect([key, placeholders(text)]).toEqual([key, placeholders(en[key as keyof typeof en])]);
    }
  });

  test('has no empty message', () => {
    expect(Object.values(messages).filter((text) => text.trim() === '')).toEqual([]);
  });
});

test('the page about trust speaks the same languages', () => {
  const files = Object.keys(import.meta.glob('../../urbanos_edge/api/trust_words/*.json'));
  const tags = files.map((file) => file.replace(/^.*\/|\.json$/g, ''));
  expect(tags.sort()).toEqual(Object.keys(languages).sort());
});

test('placeholders are filled in', () => {
  expect(createWords('de').say('link.lost', { time: '10:42' })).toBe(
    'Daten von 10:42, Verbindung wird gesucht',
  );
});

test('what is filled in is not searched for placeholders again', () => {
  expect(createWords('en').say('panel.unknown', { id: '{id}' })).toContain('“{id}”');
});

test('one is singular, all else plural', () => {
  const words = createWords('en');
  expect([0, 1, 2].map((count) => words.sensors(count, String(count)))).toEqual([
    '0 sensors',
    '1 sensor',
    '2 sensors',
  ]);
});

test('bands of a known standard are translated, those of others keep their own word', () => {
  const worst = {
    level: 6,
    word: 'Hazardous',
    low: 301,
    high: null,
    color: '#7e0023',
    assist_color: '#7e0023',
  };
  expect(createWords('de').band(usEpa, worst)).toBe('Gefährlich');
  const other = { ...usEpa, id: 'somewhere-2030' };
  expect(createWords('de').band(other, { ...worst, word: 'Awful' })).toBe('Awful');
});

/** Bands as the node tells them: by level and word. */
const otherStandards = [
  {
    id: 'eu-eea-2024',
    words: ['Good', 'Fair', 'Moderate', 'Poor', 'Very poor', 'Extremely poor'],
  },
  {
    id: 'uk-defra-2013',
    words: [
      ...['Low', 'Low', 'Low', 'Moderate', 'Moderate', 'Moderate'],
      ...['High', 'High', 'High', 'Very High'],
    ],
  },
];
const standards = [
  usEpa,
  ...otherStandards.map(({ id, words }) => ({
    ...usEpa,
    id,
    bands: words.map((word, place) => ({
      level: place + 1,
      word,
      low: place + 1,
      high: place + 1,
      color: '#000000',
      assist_color: '#000000',
    })),
  })),
];

test.each(standards)('every category of $id has its word and its advice everywhere', (standard) => {
  for (const language of Object.keys(languages).filter(isLanguage)) {
    const words = createWords(language);
    for (const band of standard.bands) {
      expect(words.advice(standard, band)).toMatch(/\p{L}/u);
      if (language !== 'en') expect(words.band(standard, band)).not.toBe(band.word);
    }
  }
});

test('points of the UK index that share a word share their advice', () => {
  const daqi = standards.find(({ id }) => id === 'uk-defra-2013') ?? usEpa;
  const words = createWords('en');
  const told = new Set(daqi.bands.map((band) => words.advice(daqi, band)));
  expect(told.size).toBe(4);
});

test('a standard not known here gives no advice', () => {
  const band = { ...(usEpa.bands[0] ?? { level: 1, word: '', low: 0, high: 1, color: '' }) };
  expect(createWords('en').advice({ ...usEpa, id: 'x' }, { ...band, assist_color: '' })).toBe('');
});

test('every quantity has a name; one not known here keeps its own', () => {
  const words = createWords('en');
  for (const { name } of QUANTITIES) expect(words.quantity(name)).not.toBe(name);
  expect(words.quantity('radon')).toBe('radon');
});

test('the first preferred language we have is chosen', () => {
  expect(preferredLanguage(['sv-FI', 'de-AT', 'en'])).toBe('de');
  expect(preferredLanguage(['sv'])).toBe('en');
  expect(preferredLanguage(['zh-TW'])).toBe('zh-Hant');
  expect(preferredLanguage(['zh-HK', 'en'])).toBe('zh-Hant');
  expect(preferredLanguage(['zh-CN', 'fr'])).toBe('fr');
  expect(preferredLanguage(['not a tag', 'es-MX'])).toBe('es');
  expect(isLanguage('toString')).toBe(false);
});

test("times and numbers follow the reader's country where it speaks the language shown", () => {
  expect(localeFor('en', ['de-AT', 'en-GB'])).toBe('en-GB');
  expect(localeFor('de', ['en-GB'])).toBe('de');
});

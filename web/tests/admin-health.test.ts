import { describe, expect, test } from 'vitest';

import { inWords } from '../src/admin/health';
import type { AdminView } from '../src/admin/view';
import { sayIn, textIn, type AdminKey } from '../src/admin/words';
import type { Sentence } from '../src/api-types';
import { createFormat } from '../src/format';
import { createWords, isLanguage, languages, type Language } from '../src/i18n';
import { en } from '../src/i18n/admin/en';
import { NOON, NOON_MS } from './samples';

function viewIn(language: Language): AdminView {
  return {
    say: sayIn(language),
    text: textIn(language),
    words: createWords(language),
    format: createFormat(language, 'UTC'),
    now_ms: NOON_MS,
  } as AdminView;
}

function sentence(code: Sentence['code'], details: Sentence['details']): Sentence {
  return { level: 'look', code, text: 'in English', details };
}

const uptime = { share: 0.999499, promised: 0.9995, at: NOON, seconds: 1296 };

test('a sentence of the node is written with numbers as the reader writes them', () => {
  const filling = sentence('disk_filling', { bytes: 12_300_000_000, days: 13.2 });
  expect(inWords(viewIn('en'), filling)).toBe(
    'The disk has 12\u00a0GB free; at this rate it is full in 13 days.',
  );
  expect(inWords(viewIn('de'), sentence('backup_failed', { why: 'no {room}' }))).toBe(
    'Die letzte Sicherung ist fehlgeschlagen: no {room}',
  );
});

test('a share is rounded down, as a promise is', () => {
  const kept = inWords(viewIn('en'), sentence('uptime_kept', uptime));
  expect(kept).toContain('ready 99.94% of the time');
  expect(kept).toContain('99.95% of 30 days');
  // 1,296 s are 21.6 minutes.
  expect(kept).toContain('21 minutes of being down are left');
});

describe.each(Object.keys(languages).filter(isLanguage))('%s', (language) => {
  test('has the same placeholders as English, and nothing is empty', () => {
    const placeholders = (text: string) => [...text.matchAll(/\{(\w+)\}/g)].map(([one]) => one);
    for (const key of Object.keys(en) as AdminKey[]) {
      const text = textIn(language)(key);
      expect([key, placeholders(text).sort()]).toEqual([key, placeholders(en[key]).sort()]);
      expect(text).toMatch(/\p{L}/u);
    }
  });

  test('fills in everything that a sentence may tell', () => {
    const counts = { total: 9, reporting: 4, count: 2, bytes: 1e9, days: 3, why: 'no room' };
    const codes = Object.keys(en).filter((key) => key.startsWith('node.'));
    expect(codes.length).toBeGreaterThan(20);
    for (const key of codes) {
      const code = key.slice('node.'.length) as Sentence['code'];
      const text = inWords(viewIn(language), sentence(code, { ...uptime, ...counts }));
      expect(text).not.toMatch(/[{}]/);
    }
  });
});

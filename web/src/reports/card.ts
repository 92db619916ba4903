/** What somebody reported, as it stands on the map. */

import { element } from '../dom';
import type { Format } from '../format';
import type { Words } from '../i18n';
import { KINDS } from './form';

/** `report` comes from a tile-like source: nothing about its fields is certain. */
export function reportCard(
  words: Words,
  format: Format,
  report: Readonly<Record<string, unknown>>,
): HTMLElement {
  const kind = reportKind(words, report['kind']);
  const time = format.clock(Date.parse(String(report['at'])), Date.now());
  const note = typeof report['note'] === 'string' ? report['note'] : '';
  return element(
    'div',
    { class: 'report-card' },
    element('strong', {}, words.say('report.seen', { kind, time })),
    note ? element('p', {}, note) : null,
  );
}

/** What is reported, in the reader's words; a kind that is not known here is something else. */
export function reportKind(words: Words, name: unknown): string {
  return words.say(`report.${KINDS.find((kind) => kind === name) ?? 'other'}`);
}

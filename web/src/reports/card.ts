/** What somebody reported, as it stands on the map. */

import { element } from '../dom';
import type { Format } from '../format';
import type { Words } from '../i18n';
import type { View } from '../view';
import { KINDS } from './form';

/** `report` comes from a tile-like source: nothing about its fields is certain. */
export function reportCard(
  words: Words,
  format: Format,
  report: Readonly<Record<string, unknown>>,
): HTMLElement {
  const { kind, at } = report;
  const title = reportTitle({ words, format, now_ms: Date.now() }, { kind, at });
  const note = typeof report['note'] === 'string' ? report['note'] : '';
  return element(
    'div',
    { class: 'report-card' },
    element('strong', {}, title),
    note ? element('p', {}, note) : null,
  );
}

/** What was reported, and when. */
export function reportTitle(
  { words, format, now_ms }: Pick<View, 'words' | 'format' | 'now_ms'>,
  { kind, at }: { readonly kind: unknown; readonly at: unknown },
): string {
  const time = format.clock(Date.parse(String(at)), now_ms);
  return words.say('report.seen', { kind: reportKind(words, kind), time });
}

/** What is reported, in the reader's words; a kind that is not known here is something else. */
export function reportKind(words: Words, name: unknown): string {
  return words.say(`report.${KINDS.find((kind) => kind === name) ?? 'other'}`);
}

/** How the node is, in sentences: its own, in the reader's language, and what the page itself sees. */

import { isSilent, moment, size, type AdminView } from './view';
import type { AdminKey } from './words';
import type { Sentence } from '../api-types';
import { fill } from '../i18n';

export interface Line {
  readonly tone: 'good' | 'bad' | 'plain';
  readonly text: string;
}

const TONES = { well: 'plain', look: 'bad', act: 'bad' } as const;
/** The page says the same with the reason, as soon as it is so. */
const SAID_BELOW = 'centre_unreached';

/** The headline comes first, then what is wrong. */
export function healthLines(view: AdminView): Line[] {
  const { level, sentences } = view.desk.status.summary;
  const headline = { well: 'good', look: 'bad', act: 'bad' } as const;
  const told = sentences.filter(({ code }) => code !== SAID_BELOW);
  const lines = [
    ...told.map((sentence) => ({ tone: TONES[sentence.level], text: inWords(view, sentence) })),
    sensorLine(view),
    syncLine(view),
  ];
  return [
    { tone: headline[level], text: view.say(`health.level.${level}`) },
    ...lines.filter(({ tone }) => tone === 'bad'),
    ...lines.filter(({ tone }) => tone !== 'bad'),
  ];
}

/** A sentence of the node's; a code without words fails the build. */
export function inWords(view: AdminView, { code, details }: Sentence): string {
  const key = `node.${code}` as const satisfies AdminKey;
  const written = Object.entries(details).map(([name, value]) => [name, shown(view, name, value)]);
  return fill(view.text(key), Object.fromEntries(written) as Record<string, string>);
}

/** A detail by its name, as the node's document says what each is. */
function shown(view: AdminView, name: string, value: string | number): string {
  const { format } = view;
  if (typeof value === 'string') return name === 'at' ? moment(view, value) : value;
  if (name === 'bytes') return size(format, value);
  if (name === 'seconds') return format.span(value);
  if (name === 'share' || name === 'promised') return format.share(value);
  return format.count(value);
}

function sensorLine({ desk, say, format, now_ms }: AdminView): Line {
  const silent = desk.sensors.filter((sensor) => isSilent(sensor, now_ms)).length;
  const count = format.count(desk.status.sensors.total);
  const text = say('health.sensors', { count, silent: format.count(silent) });
  return { tone: silent > 0 ? 'bad' : 'plain', text };
}

function syncLine({ desk, say, format }: AdminView): Line {
  const { state, failure, pending_hours } = desk.status.sync;
  if (state === 'failing') {
    return { tone: 'bad', text: say('health.sync.failing', { why: failure ?? '' }) };
  }
  if (state === 'sending') {
    const count = format.count(pending_hours);
    return { tone: 'plain', text: say('health.sync.sending', { count }) };
  }
  return { tone: 'plain', text: say(`health.sync.${state}`) };
}

/** Everything else, in tables: for who wants to know more than what waits. */

import { desk as node } from './api';
import { keyed } from './drawing';
import {
  actButton,
  moment,
  plainButton,
  silentFirst,
  size,
  type Acts,
  type AdminView,
} from './view';
import { rejectionIn, type PlainAdminKey } from './words';
import { api, isUnauthorized, OF_THE_NODE } from '../api';
import type { BackupState, Found, Letter } from '../api-types';
import { element } from '../dom';
import { isLate, type Latest } from '../state';

const MOST_SENSORS = 100;
/** At how far a backup is. */
const LOOK_EVERY_MS = 5000;
/** Of a message that was refused. */
const MOST_LETTERS = 200;

type Cell = string | HTMLElement;

/** The sections below the map, by their title. */
export const sections: readonly [PlainAdminKey, (view: AdminView, acts: Acts) => Cell[]][] = [
  ['ignored.title', ignored],
  ['nearby.title', nearby],
  ['letters.title', letters],
  ['turned.title', turnedAway],
  ['pulls.title', pulls],
  ['keeping.title', keeping],
  ['settings.title', settings],
];

export function sensorTable(view: AdminView, acts: Acts): Cell[] {
  const { desk, say, format } = view;
  const shown = silentFirst(desk.sensors).slice(0, MOST_SENSORS);
  const rows = shown.map(({ id, name, latest }) => [
    keyed(
      plainButton(name, () => acts.showSensor(id)),
      id,
    ),
    latest ? lastReading(view, latest) : say('sensors.unheard'),
  ]);
  const total = desk.status.sensors.total;
  const counts = { shown: format.count(shown.length), count: format.count(total) };
  const note = total > shown.length ? [say('more', counts)] : [];
  return [...table(view, ['col.name', 'col.last'], rows), ...note];
}

function lastReading({ say, format, now_ms }: AdminView, latest: Latest): string {
  const time = format.clock(latest.at, now_ms);
  if (!isLate(latest)) return time;
  return say('sensors.late', { time, arrived: format.clock(latest.arrivedAt ?? 0, now_ms) });
}

function ignored(view: AdminView, acts: Acts): Cell[] {
  const rows = Object.entries(view.desk.inbox.ignored).map(([sender, since]) => [
    sender,
    moment(view, since),
    actButton(view.say('ignored.hear'), acts, async () => void (await node.hear(sender))),
  ]);
  return table(view, ['col.sender', 'col.since', 'col.act'], rows);
}

function nearby(view: AdminView, acts: Acts): Cell[] {
  const rows = view.desk.nearby.devices.map((device) => [
    device.name,
    [device.kind, device.model].filter(Boolean).join(', '),
    device.url ?? device.address,
    device.is_here
      ? view.say('nearby.here')
      : view.say('nearby.gone', { time: moment(view, device.last_seen_at) }),
    claimOf(view, acts, device),
  ]);
  return table(view, ['col.name', 'col.kind', 'col.address', 'col.state', 'col.act'], rows);
}

function claimOf({ say }: AdminView, acts: Acts, { sender, sensor_id }: Found): Cell {
  if (sensor_id !== null) return sensor_id;
  return sender ? plainButton(say('tasks.claim'), () => acts.claim(sender)) : '';
}

function letters(view: AdminView, acts: Acts): Cell[] {
  const rows = view.desk.letters.letters.map((letter: Letter) => [
    keyed(element('span', {}, moment(view, letter.rejected_at)), letter.id),
    whyRefused(view, letter),
    element('code', {}, shortened(asText(letter.payload))),
    actButton(view.say('letters.retry'), acts, async () => void (await node.requeue(letter.id))),
  ]);
  return table(view, ['col.when', 'col.why', 'col.sent', 'col.act'], rows);
}

/** What was said to devices stands as they heard it. */
function turnedAway(view: AdminView): Cell[] {
  const rows = view.desk.inbox.turned_away.map((one) => [
    one.address,
    one.device,
    element('code', {}, one.door),
    element('span', { lang: 'en' }, `${one.status}: ${one.message}`),
    view.format.count(one.times),
    moment(view, one.last_at),
  ]);
  const told = ['col.told', 'col.times', 'col.when'] as const;
  return table(view, ['col.address', 'col.device', 'col.door', ...told], rows);
}

/** In the reader's words, then in the node's, which name the part that is wrong. */
function whyRefused({ words }: AdminView, letter: Letter): Cell {
  const said = element('span', { lang: 'en' }, letter.message);
  const why = rejectionIn(words.language, letter);
  return why ? element('span', {}, why, ' ', element('small', {}, said)) : said;
}

function pulls(view: AdminView): Cell[] {
  const rows = view.desk.status.pulls.sources.map(({ name, kind, succeeded_at, failure }) => [
    name,
    kind,
    moment(view, succeeded_at),
    failure ?? '',
  ]);
  return table(view, ['col.name', 'col.kind', 'col.success', 'col.why'], rows);
}

function keeping(view: AdminView, acts: Acts): Cell[] {
  const { say, format } = view;
  const { backup, sync, disk } = view.desk.status;
  const growth = disk.growth_bytes_per_day;
  const facts: [PlainAdminKey, string][] = [
    ['keeping.made', moment(view, backup.last_at)],
    ['keeping.proven', moment(view, backup.last_proven_at)],
    [
      'keeping.readings',
      backup.proven_readings === null ? '–' : format.count(backup.proven_readings),
    ],
    ['keeping.centre', sync.centre ?? '–'],
    ['keeping.heard', moment(view, sync.heard_at)],
    ['keeping.waiting', format.count(sync.pending_hours)],
    ['keeping.growth', growth === null ? '–' : size(format, growth)],
    ['keeping.full', disk.full_in_days === null ? '–' : format.count(disk.full_in_days)],
  ];
  const terms = facts.flatMap(([key, text]) => [
    element('dt', {}, say(key)),
    element('dd', {}, text),
  ]);
  return [element('dl', {}, ...terms), backupButton(view, acts)];
}

function backupButton({ desk, say, format }: AdminView, acts: Acts): Cell {
  const { has_target, progress } = desk.status.backup;
  if (!has_target) return element('p', { class: 'muted' }, say('backup.noTarget'));
  if (progress !== null)
    return element('p', {}, say('backup.running', { done: format.done(progress) }));
  return actButton(say('backup.make'), acts, async (tell) => {
    const { backup: before } = await api.status(OF_THE_NODE);
    await node.backUp();
    const { failure, last_at, proven_readings } = await backupMade((done) =>
      tell(say('backup.running', { done: format.done(done) })),
    );
    if (failure !== null) return say('backup.failed', { why: failure });
    if (last_at === before.last_at) return say('backup.lost');
    return say('backup.made', { count: format.count(proven_readings ?? 0) });
  });
}

/** How the backup that is being made ended; a node that is busy with it may not answer at once. */
async function backupMade(onProgress: (done: number) => void): Promise<BackupState> {
  for (;;) {
    const backup = await backupNow();
    if (backup?.progress === null) return backup;
    if (backup) onProgress(backup.progress);
    await new Promise((resolve) => window.setTimeout(resolve, LOOK_EVERY_MS));
  }
}

/** Null: that cannot be said just now. Raises `ApiError` for who is not logged in any more. */
async function backupNow(): Promise<BackupState | null> {
  try {
    return (await api.status(OF_THE_NODE)).backup;
  } catch (error) {
    if (isUnauthorized(error)) throw error;
    return null;
  }
}

function settings(view: AdminView): Cell[] {
  const { desk, say } = view;
  if (!desk.settings) return [say('settings.admins')];
  const rows = desk.settings.settings.map(({ name, value, source }) => [
    element('code', {}, name),
    element('code', {}, typeof value === 'string' ? value : JSON.stringify(value)),
    say(`source.${source}`),
  ]);
  return table(view, ['col.name', 'col.value', 'col.source'], rows);
}

/** The first cell of a row names it. */
export function table(
  { say }: AdminView,
  heads: readonly PlainAdminKey[],
  rows: readonly (readonly Cell[])[],
): Cell[] {
  if (rows.length === 0) return [say('none')];
  const head = heads.map((key) => element('th', { scope: 'col' }, say(key)));
  const body = rows.map(([first = '', ...others]) =>
    element(
      'tr',
      {},
      element('th', { scope: 'row' }, first),
      ...others.map((cell) => element('td', {}, cell)),
    ),
  );
  const made = element(
    'table',
    {},
    element('thead', {}, element('tr', {}, ...head)),
    element('tbody', {}, ...body),
  );
  // What is wider than the screen is scrolled, also by the keyboard.
  return [
    element(
      'div',
      { class: 'wide', tabindex: '0', role: 'group', 'aria-label': say(heads[0] ?? 'col.name') },
      made,
    ),
  ];
}

/** As it was sent, where that was text. */
function asText(payload: unknown): string {
  return typeof payload === 'string' ? payload : JSON.stringify(payload);
}

function shortened(text: string): string {
  return text.length > MOST_LETTERS ? `${text.slice(0, MOST_LETTERS)}…` : text;
}

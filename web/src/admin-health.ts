/** How the node is, in sentences: what is wrong comes first. */

import { isSilent, moment, size, type AdminView } from './admin-view';

export interface Line {
  readonly tone: 'good' | 'bad' | 'plain';
  readonly text: string;
}

/** A disk that lasts longer than this is no news. */
const FULL_SOON_DAYS = 60;

export function healthLines(view: AdminView): Line[] {
  const lines = [
    ...faultLines(view),
    sensorLine(view),
    ...backupLines(view),
    diskLine(view),
    syncLine(view),
    ...oddLines(view),
  ];
  return [
    ...lines.filter(({ tone }) => tone === 'bad'),
    ...lines.filter(({ tone }) => tone !== 'bad'),
  ];
}

function faultLines({ desk, say }: AdminView): Line[] {
  const { faults } = desk.status;
  if (faults.length === 0) return [{ tone: 'good', text: say('health.well') }];
  return faults.map((why) => ({ tone: 'bad', text: say('health.fault', { why }) }));
}

function sensorLine({ desk, say, format, now_ms }: AdminView): Line {
  const silent = desk.sensors.filter((sensor) => isSilent(sensor, now_ms)).length;
  const count = format.count(desk.status.sensors.total);
  const text = say('health.sensors', { count, silent: format.count(silent) });
  return { tone: silent > 0 ? 'bad' : 'plain', text };
}

function backupLines(view: AdminView): Line[] {
  const { last_at, last_proven_at, failure } = view.desk.status.backup;
  const lines: Line[] = [];
  if (failure) lines.push({ tone: 'bad', text: view.say('health.backupFailed', { why: failure }) });
  if (last_proven_at) {
    const time = moment(view, last_proven_at);
    return [...lines, { tone: 'plain', text: view.say('health.proven', { time }) }];
  }
  const text = last_at
    ? view.say('health.unproven', { time: moment(view, last_at) })
    : view.say('health.noBackup');
  return [...lines, { tone: 'bad', text }];
}

function diskLine({ desk, say, format }: AdminView): Line {
  const { free_bytes, full_in_days: days, is_low } = desk.status.disk;
  const free = { size: size(format, free_bytes) };
  if (days === null || days > FULL_SOON_DAYS) {
    return { tone: is_low ? 'bad' : 'plain', text: say('health.disk', free) };
  }
  const text = say('health.diskFull', { ...free, days: format.count(Math.floor(days)) });
  return { tone: 'bad', text };
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

/** What is mostly not so. */
function oddLines(view: AdminView): Line[] {
  const { clock_in_doubt_since: since, quarantined, pulls } = view.desk.status;
  const { say, format } = view;
  const odd = [
    since && say('health.clock', { time: moment(view, since) }),
    quarantined > 0 && say('health.damaged', { count: format.count(quarantined) }),
    pulls.failing > 0 && say('health.pulls', { count: format.count(pulls.failing) }),
  ];
  return odd.filter((text) => typeof text === 'string').map((text) => ({ tone: 'bad', text }));
}

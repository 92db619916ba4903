/** What waits for somebody to decide, each with its buttons. */

import { desk as node } from './api';
import { keyed } from './drawing';
import { titled } from './rules';
import { actButton, isSilent, moment, plainButton, type Acts, type AdminView } from './view';
import { rejectionIn } from './words';
import type { Alert, Disbelieved, Sender, Shown } from '../api-types';
import { element } from '../dom';
import { QUANTITIES } from '../quantities';
import { reportKind } from '../reports/card';

/** Of a kind; what lies below them comes when these are done. */
const MOST = 10;

export function tasks(view: AdminView, acts: Acts): HTMLElement[] {
  const { alerts, inbox, reports, letters } = view.desk;
  const raised = alerts.filter(({ cleared_at }) => cleared_at == null);
  const found = [
    ...raised.slice(0, MOST).map((alert) => alertTask(view, acts, alert)),
    ...inbox.senders.slice(0, MOST).map((sender) => senderTask(view, acts, sender)),
    ...missed(view).map((sender) => refusedTask(view, acts, sender)),
    ...reports.reports.slice(0, MOST).map((report) => reportTask(view, acts, report)),
    ...(letters.count > 0 ? [lettersTask(view, acts)] : []),
  ];
  return found.length > 0 ? found : [element('li', { class: 'muted' }, view.say('tasks.none'))];
}

/** `key` says which of all it is, whatever is told of it. */
function task(
  key: string,
  text: string,
  more: HTMLElement | '',
  ...buttons: HTMLElement[]
): HTMLElement {
  const words = keyed(element('p', {}, text, more), key);
  return element('li', { class: 'task' }, words, element('div', { class: 'acts' }, ...buttons));
}

function alertTask(view: AdminView, acts: Acts, alert: Alert): HTMLElement {
  const { rule_id, sensor_name: name, sensor_id: id } = alert;
  const known = view.desk.rules.rules.find((one) => one.id === rule_id);
  const rule = known ? titled(view, known) : alert.rule;
  const time = moment(view, alert.since ?? alert.raised_at);
  const show = plainButton(view.say('tasks.show'), () => acts.showSensor(id));
  return task(`alert ${alert.id}`, view.say('tasks.alert', { rule, name, time }), '', show);
}

function senderTask(view: AdminView, acts: Acts, unknown: Sender): HTMLElement {
  const { say } = view;
  const { sender, protocol, address, last_seen_at: at, last } = unknown;
  const values = measured(view, last);
  return task(
    `sender ${sender}`,
    say('tasks.sender', { sender, protocol }),
    said(say('tasks.heard', { address, time: moment(view, at), values })),
    plainButton(say('tasks.claim'), () => acts.claim(sender)),
    actButton(say('tasks.ignore'), acts, async () => void (await node.ignore(sender))),
  );
}

function said(text: string): HTMLElement {
  return element('span', { class: 'said' }, text);
}

/** By what a sender says one knows which device it is. */
function measured({ words, format }: AdminView, last: unknown): string {
  const values = (last as { values?: Record<string, unknown> } | null)?.values ?? {};
  const known = QUANTITIES.filter(({ name }) => typeof values[name] === 'number');
  const told = known.map(({ name, unit }) => {
    return `${words.quantity(name)} ${format.quantity(values[name] as number, unit)}`;
  });
  return told.join(', ');
}

/** Claimed senders that are refused and by nothing else heard of: something is set up wrongly. */
function missed({ desk, now_ms }: AdminView): Disbelieved[] {
  const silent = desk.sensors.filter((sensor) => isSilent(sensor, now_ms)).map(({ id }) => id);
  const missing = new Set(silent);
  return desk.inbox.disbelieved.filter(({ sensor_id }) => missing.has(sensor_id)).slice(0, MOST);
}

function refusedTask(view: AdminView, acts: Acts, refused: Disbelieved): HTMLElement {
  const { say, format } = view;
  const { sender, rule, messages, address, at } = refused;
  const why = rule === 'open' ? '' : say(`tasks.refused.${rule}`);
  const count = format.count(messages);
  return task(
    `refused ${sender}`,
    say('tasks.refused', { sender, why, count, address, time: moment(view, at) }),
    '',
    plainButton(say('tasks.again'), () => acts.claim(sender)),
  );
}

function reportTask(view: AdminView, acts: Acts, { id, kind, note, at }: Shown): HTMLElement {
  const { say, words } = view;
  const text = say('tasks.report', { kind: reportKind(words, kind), time: moment(view, at) });
  const decide = (verdict: 'approve' | 'reject') => async () =>
    void (await node.decide(id, verdict));
  return task(
    `report ${id}`,
    text,
    note && element('q', {}, note),
    actButton(say('tasks.approve'), acts, decide('approve')),
    actButton(say('tasks.reject'), acts, decide('reject')),
  );
}

function lettersTask({ desk, say, words, format }: AdminView, acts: Acts): HTMLElement {
  const kept = desk.status.totals.dead_letters;
  const count = format.count(kept);
  const [newest] = desk.letters.letters;
  const why = newest ? rejectionIn(words.language, newest) || newest.message : '';
  const purge = async () => {
    const isMeant = await acts.confirm(say('purge.what', { count }), say('purge.do'), String(kept));
    if (!isMeant) return '';
    await node.purge();
    return;
  };
  return task(
    'letters',
    say('tasks.letters', { count, why }),
    '',
    actButton(say('tasks.requeue'), acts, async () => void (await node.requeue())),
    actButton(say('tasks.purge'), acts, purge),
  );
}

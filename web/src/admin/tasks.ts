/** What waits for somebody to decide, each with its buttons. */

import { desk as node } from './api';
import { titled } from './rules';
import { actButton, moment, plainButton, type Acts, type AdminView } from './view';
import { rejectionIn } from './words';
import type { Alert, Sender, Shown } from '../api-types';
import { element } from '../dom';
import { reportKind } from '../reports/card';

/** Of a kind; what lies below them comes when these are done. */
const MOST = 10;

export function tasks(view: AdminView, acts: Acts): HTMLElement[] {
  const { alerts, inbox, reports, letters } = view.desk;
  const raised = alerts.filter(({ cleared_at }) => cleared_at == null);
  const found = [
    ...raised.slice(0, MOST).map((alert) => alertTask(view, acts, alert)),
    ...inbox.senders.slice(0, MOST).map((sender) => senderTask(view, acts, sender)),
    ...reports.reports.slice(0, MOST).map((report) => reportTask(view, acts, report)),
    ...(letters.count > 0 ? [lettersTask(view, acts)] : []),
  ];
  return found.length > 0 ? found : [element('li', { class: 'muted' }, view.say('tasks.none'))];
}

function task(text: string, more: string, ...buttons: HTMLElement[]): HTMLElement {
  const words = element('p', {}, text);
  if (more) words.append(element('q', {}, more));
  return element('li', { class: 'task' }, words, element('div', { class: 'acts' }, ...buttons));
}

function alertTask(view: AdminView, acts: Acts, alert: Alert): HTMLElement {
  const { rule_id, sensor_name: name, sensor_id: id } = alert;
  const known = view.desk.rules.rules.find((one) => one.id === rule_id);
  const rule = known ? titled(view, known) : alert.rule;
  const time = moment(view, alert.since ?? alert.raised_at);
  const show = plainButton(view.say('tasks.show'), () => acts.showSensor(id));
  return task(view.say('tasks.alert', { rule, name, time }), '', show);
}

function senderTask({ say }: AdminView, acts: Acts, { sender, protocol }: Sender): HTMLElement {
  return task(
    say('tasks.sender', { sender, protocol }),
    '',
    plainButton(say('tasks.claim'), () => acts.claim(sender)),
    actButton(say('tasks.ignore'), acts, async () => void (await node.ignore(sender))),
  );
}

function reportTask(view: AdminView, acts: Acts, { id, kind, note, at }: Shown): HTMLElement {
  const { say, words } = view;
  const text = say('tasks.report', { kind: reportKind(words, kind), time: moment(view, at) });
  const decide = (verdict: 'approve' | 'reject') => async () =>
    void (await node.decide(id, verdict));
  return task(
    text,
    note,
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
    say('tasks.letters', { count, why }),
    '',
    actButton(say('tasks.requeue'), acts, async () => void (await node.requeue())),
    actButton(say('tasks.purge'), acts, purge),
  );
}

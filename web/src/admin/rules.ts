/** What alerts are raised for: the rules, and a form for another one. */

import { desk as node, type NewRule } from './api';
import { table } from './details';
import { keyed } from './drawing';
import { settle } from './fields';
import { actButton, type Acts, type AdminView } from './view';
import type { Say } from './words';
import type { ShownRule } from '../api-types';
import { element } from '../dom';
import type { Words } from '../i18n';
import { QUANTITIES } from '../quantities';

const KINDS = ['over', 'under', 'silent', 'stuck'] as const;
/** The least the node takes for silence; sensible for the others. */
const USUAL_MINUTES = '30';

export function ruleTable(view: AdminView, acts: Acts): (string | HTMLElement)[] {
  const rows = view.desk.rules.rules.map((rule) => [
    keyed(element('span', {}, titled(view, rule)), rule.id),
    view.format.count(rule.raised),
    element('div', { class: 'acts' }, ...ruleButtons(view, acts, rule)),
  ]);
  return table(view, ['col.name', 'rules.raised', 'col.act'], rows);
}

/** Its name, or what it says. */
export function titled({ say, words, format }: AdminView, rule: ShownRule): string {
  if (rule.name) return rule.name;
  const quantity = rule.quantity ? words.quantity(rule.quantity) : '';
  const limit = rule.threshold == null ? '' : format.measured(rule.quantity ?? '', rule.threshold);
  return [quantity, say(`rules.${rule.when}`), limit].filter(Boolean).join(' ');
}

function ruleButtons(view: AdminView, acts: Acts, rule: ShownRule): HTMLElement[] {
  const { say } = view;
  const test = async () => say('rules.tested', { list: (await node.testRule(rule.id)).join(', ') });
  const remove = async () => {
    const what = say('unrule.what', { name: titled(view, rule) });
    if (!(await acts.confirm(what, say('unrule.do')))) return '';
    await node.removeRule(rule.id);
    return;
  };
  return [actButton(say('rules.test'), acts, test), actButton(say('rules.remove'), acts, remove)];
}

/** Made once in a language, so that nothing typed is lost when everything is read again. */
export function ruleForm(say: Say, words: Words, acts: Acts): HTMLFormElement {
  const when = select(KINDS.map((kind) => [kind, say(`rules.${kind}`)]));
  const names = [...QUANTITIES.map(({ name }) => name), 'aqi'];
  const quantity = select(names.map((name) => [name, words.quantity(name)]));
  const threshold = element('input', { type: 'number', step: 'any', required: '' });
  const minutes = element('input', { type: 'number', min: '0', max: '10080', required: '' });
  const name = element('input', { type: 'text', maxlength: '120', autocomplete: 'off' });
  const add = element('button', { type: 'submit', class: 'button' }, say('rules.add'));
  minutes.defaultValue = USUAL_MINUTES;
  const measured = [
    element('label', {}, say('rules.quantity'), quantity),
    element('label', {}, say('rules.threshold'), threshold),
  ];
  when.addEventListener('change', () => {
    const isMeasured = when.value === 'over' || when.value === 'under';
    for (const label of measured) label.hidden = !isMeasured;
    threshold.required = isMeasured;
  });
  const form = element(
    'form',
    { class: 'fields' },
    element('label', {}, say('rules.when'), when),
    ...measured,
    element('label', {}, say('rules.minutes'), minutes),
    element('label', {}, say('rules.name'), name),
    add,
  );
  form.addEventListener('submit', (event) => {
    event.preventDefault();
    const asked: NewRule = {
      when: when.value,
      name: name.value.trim(),
      for_s: Math.round(Number(minutes.value) * 60),
      ...(threshold.required && { quantity: quantity.value, threshold: Number(threshold.value) }),
    };
    void acts.act(add, async () => {
      await node.addRule(asked);
      settle(form);
    });
  });
  return form;
}

export function select(options: readonly (readonly [string, string])[]): HTMLSelectElement {
  return element(
    'select',
    {},
    ...options.map(([value, text]) => element('option', { value }, text)),
  );
}

/** What everybody should know now: alerts that are raised, until they are put away. */

import { freshAlerts } from './alerts';
import type { Alert } from './api-types';
import { element, iconButton, nameButton } from './dom';
import { icon } from './icons';

import type { Part, View } from './view';

/** More would cover the map; how many there are beyond is said. */
const MOST_SHOWN = 3;

export interface BannerActions {
  onSensor(id: string): void;
  onClose(): void;
}

export class Banner implements Part {
  readonly #list = element('ul');
  readonly #close: HTMLButtonElement;
  readonly #actions: BannerActions;
  readonly element: HTMLElement;
  #drawn: unknown[] = [];

  constructor(actions: BannerActions) {
    this.#actions = actions;
    this.#close = iconButton(icon('close'), actions.onClose);
    this.element = element(
      'section',
      { class: 'banner card' },
      icon('warning'),
      this.#list,
      this.#close,
    );
    this.element.hidden = true;
    this.#list.setAttribute('aria-live', 'polite');
  }

  render(view: View): void {
    const { words, state, format } = view;
    const looks = [state.alerts, state.seenAlerts, words.language, state.status];
    if (looks.every((part, place) => part === this.#drawn[place])) return;
    this.#drawn = looks;
    const alerts = freshAlerts(state);
    this.element.hidden = alerts.length === 0;
    this.element.setAttribute('aria-label', words.say('alert.label'));
    nameButton(this.#close, words.say('alert.close'));
    const lines = alerts.slice(0, MOST_SHOWN).map((alert) => this.#line(view, alert));
    const more = alerts.length - lines.length;
    if (more > 0) {
      lines.push(element('li', {}, words.say('alert.more', { count: format.count(more) })));
    }
    this.#list.replaceChildren(...lines);
  }

  #line(view: View, alert: Alert): HTMLLIElement {
    const button = element('button', { type: 'button' }, sentence(view, alert));
    button.addEventListener('click', () => this.#actions.onSensor(alert.sensor_id));
    return element('li', {}, button);
  }
}

function sentence({ words, format, now_ms }: View, alert: Alert): string {
  const { when, quantity, threshold, sensor_name, sensor_id, since, raised_at } = alert;
  return words.say(when === 'under' ? 'alert.under' : 'alert.over', {
    quantity: words.quantity(quantity ?? 'aqi'),
    name: sensor_name || sensor_id,
    limit: format.measured(quantity ?? 'aqi', threshold ?? 0),
    time: format.clock(Date.parse(since ?? raised_at), now_ms),
  });
}

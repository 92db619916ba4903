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

/** What is said, and of which sensor; none: of all that are not shown. */
export interface AlertLine {
  readonly sensor: string | null;
  readonly text: string;
}

export class Banner implements Part {
  readonly #list = element('ul');
  readonly #close: HTMLButtonElement;
  readonly #actions: BannerActions;
  readonly element: HTMLElement;
  #drawn = new Map<string, HTMLLIElement>();

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
    const lines = alertLines(view);
    this.element.hidden = lines.length === 0;
    this.element.setAttribute('aria-label', view.words.say('alert.label'));
    nameButton(this.#close, view.words.say('alert.close'));
    this.#draw(lines);
  }

  /** A line that stands is not touched: a screen reader reads out what is put in. */
  #draw(lines: readonly AlertLine[]): void {
    const before = this.#drawn;
    this.#drawn = new Map(
      lines.map((line) => {
        const key = JSON.stringify(line);
        return [key, before.get(key) ?? this.#line(line)];
      }),
    );
    for (const [key, item] of before) if (!this.#drawn.has(key)) item.remove();
    [...this.#drawn.values()].forEach((item, place) => {
      const standing = this.#list.children[place] ?? null;
      if (standing !== item) this.#list.insertBefore(item, standing);
    });
  }

  #line({ sensor, text }: AlertLine): HTMLLIElement {
    if (sensor === null) return element('li', {}, text);
    const button = element('button', { type: 'button' }, text);
    button.addEventListener('click', () => this.#actions.onSensor(sensor));
    return element('li', {}, button);
  }
}

/** The newest alerts that nobody has put away, and how many there are beyond them. */
export function alertLines(view: View): AlertLine[] {
  const alerts = freshAlerts(view.state);
  const lines: AlertLine[] = alerts
    .slice(0, MOST_SHOWN)
    .map((alert) => ({ sensor: alert.sensor_id, text: sentence(view, alert) }));
  const more = alerts.length - lines.length;
  if (more === 0) return lines;
  const count = view.format.count(more);
  return [...lines, { sensor: null, text: view.words.say('alert.more', { count }) }];
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

/** What every part of the page is drawn from, and small pieces several parts draw. */

import type { Standard } from './api-types';
import { element, setText } from './dom';
import type { Format } from './format';
import type { Words } from './i18n';
import { bandOfIndex, textColorOn } from './standard';
import {
  simulation,
  type Condition,
  type Latest,
  type Sensor,
  type Simulation,
  type State,
} from './state';

export interface View {
  readonly state: State;
  readonly words: Words;
  readonly format: Format;
  readonly now_ms: number;
}

/** A part of the page: drawn again whenever what it shows may have changed. */
export interface Part {
  readonly element: HTMLElement;
  render(view: View): void;
}

/** The number in its circle, as on the map. `index` null: nothing to show. */
export function paintIndexBadge(
  badge: HTMLElement,
  standard: Standard | null,
  index: number | null,
  format: Format,
): void {
  const band = index === null || !standard ? undefined : bandOfIndex(standard, index);
  badge.textContent = index === null ? '–' : format.index(index);
  badge.classList.toggle('no-index', !band);
  if (!band) return;
  badge.style.setProperty('--band', band.color);
  badge.style.setProperty('--on-band', textColorOn(band.color));
}

/** The category's word for an index; 'No index' when there is none. */
export function bandWord(view: View, index: number | null): string {
  const { standard } = view.state;
  const band = index === null || !standard ? undefined : bandOfIndex(standard, index);
  return standard && band ? view.words.band(standard, band) : view.words.say('index.none');
}

/** The category's word as long as it describes the air now; else why it does not. */
export function standing(view: View, latest: Latest, condition: Condition): string {
  const { words, format, now_ms } = view;
  if (condition === 'fresh') return bandWord(view, latest.index);
  if (condition === 'flagged') return words.say('panel.doubtful');
  return words.say('panel.silent', { time: format.clock(latest.at, now_ms) });
}

/** Room for the word 'simulated' beside a number. */
export function simulatedMark(): HTMLElement {
  const mark = element('span', { class: 'simulated' });
  mark.hidden = true;
  return mark;
}

/** Say that the numbers of the whole node are simulated, or some of them; nothing if none are. */
export function paintSimulatedMark(mark: HTMLElement, { state, words }: View): void {
  const extent = simulation(state);
  mark.hidden = extent === 'none';
  mark.title = words.say('simulated.why');
  if (extent !== 'none') setText(mark, words.say(`simulated.${extent}`));
}

/** The same for the number of one sensor, where it is known how many are simulated. */
export function paintSensorMark(
  mark: HTMLElement,
  { words }: View,
  sensor: Sensor,
  extent: Simulation,
): void {
  mark.hidden = sensor.source !== 'simulated' && extent !== 'all';
  mark.title = words.say('simulated.why');
  setText(mark, words.say('simulated.all'));
}

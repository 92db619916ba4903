/** Readings of some days as a file, for a spreadsheet or a map. */

import { settle } from './fields';
import { select } from './rules';
import type { Say } from './words';
import { element } from '../dom';
import type { Sensor } from '../state';

const FORMATS = [
  ['csv', 'CSV'],
  ['geojson', 'GeoJSON'],
  ['ndjson', 'NDJSON'],
  ['parquet', 'GeoParquet'],
] as const;
const DAY_MS = 86_400_000;
const OFFERED = 'sensors-to-export';

/** Made once in a language, so that nothing chosen is lost when everything is read again. */
export class ExportForm {
  readonly #from = day();
  readonly #to = day();
  readonly #sensor = element('input', { type: 'text', list: OFFERED, autocomplete: 'off' });
  readonly #offered = element('datalist', { id: OFFERED });
  readonly #format = select(FORMATS);
  readonly element: HTMLFormElement;

  constructor(say: Say) {
    const fields = [
      ['export.from', this.#from],
      ['export.to', this.#to],
      ['export.sensor', this.#sensor],
      ['export.format', this.#format],
    ] as const;
    this.element = element(
      'form',
      { class: 'fields' },
      element('p', {}, say('export.what')),
      ...fields.map(([key, field]) => element('label', {}, say(key), field)),
      element('button', { type: 'submit', class: 'button' }, say('export.do')),
      this.#offered,
    );
    this.#from.addEventListener('change', () => (this.#to.min = this.#from.value));
    this.element.addEventListener('submit', (event) => {
      event.preventDefault();
      element('a', { href: this.#address(), download: '' }).click();
      settle(this.element);
    });
  }

  offer(sensors: readonly Sensor[]): void {
    if (this.#offered.childElementCount === sensors.length) return;
    const options = sensors.map(({ id, name }) => element('option', { value: id }, name));
    this.#offered.replaceChildren(...options);
  }

  /** The node's days end where the next one begins. */
  #address(): string {
    const end = new Date(Date.parse(this.#to.value) + DAY_MS).toISOString().slice(0, 10);
    const query = new URLSearchParams({
      from: this.#from.value,
      to: end,
      format: this.#format.value,
    });
    const sensor = this.#sensor.value.trim();
    if (sensor) query.set('sensor', sensor);
    return `/api/v1/export?${query}`;
  }
}

function day(): HTMLInputElement {
  return element('input', { type: 'date', required: '' });
}

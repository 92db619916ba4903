/** Light or dark: as the device says, unless the reader says otherwise. */

import type { Theme } from './map/ink';
import { remember, remembered } from './remembered';

export type ThemeChoice = 'auto' | Theme;

const CHOICES: readonly ThemeChoice[] = ['auto', 'light', 'dark'];

export class ThemeSwitch {
  #choice: ThemeChoice;
  readonly #device = matchMedia('(prefers-color-scheme: dark)');

  constructor(onChange: () => void) {
    const known = remembered('theme');
    this.#choice = CHOICES.find((choice) => choice === known) ?? 'auto';
    this.#apply();
    this.#device.addEventListener('change', onChange);
  }

  get choice(): ThemeChoice {
    return this.#choice;
  }

  get theme(): Theme {
    if (this.#choice !== 'auto') return this.#choice;
    return this.#device.matches ? 'dark' : 'light';
  }

  /** Auto, light, dark, and round again. */
  next(): void {
    this.#choice = CHOICES[(CHOICES.indexOf(this.#choice) + 1) % CHOICES.length] ?? 'auto';
    remember('theme', this.#choice);
    this.#apply();
  }

  #apply(): void {
    document.documentElement.dataset['theme'] = this.#choice;
  }
}

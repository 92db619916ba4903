/** What a reader chose, remembered on their device; a full or forbidden storage is no obstacle. */

import { isLanguage, preferredLanguage, type Language } from './i18n';
import type { Palette } from './standard';

const PREFIX = 'urbanos.';

export function remembered(name: string): string | null {
  try {
    return localStorage.getItem(PREFIX + name);
  } catch {
    return null;
  }
}

export function remember(name: string, value: string): void {
  try {
    localStorage.setItem(PREFIX + name, value);
  } catch {
    // Then the choice holds until the page is closed.
  }
}

export function rememberedLanguage(): Language {
  const known = remembered('language');
  return known && isLanguage(known) ? known : preferredLanguage(navigator.languages);
}

export function rememberedPalette(): Palette {
  return remembered('palette') === 'assist' ? 'assist' : 'standard';
}

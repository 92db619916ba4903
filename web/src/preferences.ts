/** What a reader chose, or what their device says where they chose nothing. */

import { isLanguage, preferredLanguage, type Language } from './i18n';
import { remembered } from './remembered';
import type { Palette } from './standard';

export { remember, remembered } from './remembered';

export function rememberedLanguage(): Language {
  const known = remembered('language');
  return known && isLanguage(known) ? known : preferredLanguage(navigator.languages);
}

export function rememberedPalette(): Palette {
  return remembered('palette') === 'assist' ? 'assist' : 'standard';
}

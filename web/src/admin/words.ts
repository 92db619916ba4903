/** The words of the administration, apart from the page's: who reads the map need not load them. */

import type { ApiError } from '../api';
import type { Letter } from '../api-types';
import { de } from '../i18n/admin/de';
import { type AdminMessages, en } from '../i18n/admin/en';
import { es } from '../i18n/admin/es';
import { fi } from '../i18n/admin/fi';
import { fr } from '../i18n/admin/fr';
import { zhHant } from '../i18n/admin/zh-hant';
import { fill, type Fillings, type Language } from '../i18n';

export type AdminKey = keyof typeof en;

/** Those that nothing has to be filled into. */
export type PlainAdminKey = {
  [Key in AdminKey]: Fillings<(typeof en)[Key]> extends [] ? Key : never;
}[AdminKey];

export type Say = <Key extends AdminKey>(
  key: Key,
  ...fillings: Fillings<(typeof en)[Key]>
) => string;

const messages: Readonly<Record<Language, AdminMessages>> = {
  en,
  de,
  es,
  fi,
  fr,
  'zh-Hant': zhHant,
};

/** What is said in a language, with its placeholders filled in. */
export function sayIn(language: Language): Say {
  return (key, ...fillings) => fill(messages[language][key], fillings[0] ?? {});
}

/** The same as it stands, for whoever fills it in by what the node says. */
export function textIn(language: Language): (key: AdminKey) => string {
  return (key) => messages[language][key];
}

/** Why something was refused: in this language where the code is known, else in the node's words. */
export function refusalIn(language: Language, { status, code, said }: ApiError): string {
  const key = status === 0 ? 'refused.no_answer' : `refused.${code}`;
  return isKey(key) ? messages[language][key] : said || code;
}

/** Why a message was refused; empty where only the node has words for it. */
export function rejectionIn(language: Language, { code }: Letter): string {
  const key = `letter.${code}`;
  return isKey(key) ? messages[language][key] : '';
}

function isKey(key: string): key is AdminKey {
  return Object.hasOwn(en, key);
}

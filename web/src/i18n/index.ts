/**
 * The page's words. A language is one file of this shape: a missing or misspelt key fails the
 * build, and so does a caller that forgets a placeholder.
 */

import type { Band, Standard } from '../api-types';
import { de } from './de';
import { en } from './en';

export type MessageKey = keyof typeof en;
export type Messages = Readonly<Record<MessageKey, string>>;

type Placeholders<Text extends string> = Text extends `${string}{${infer Name}}${infer Rest}`
  ? Name | Placeholders<Rest>
  : never;
type Fillings<Key extends MessageKey> = [Placeholders<(typeof en)[Key]>] extends [never]
  ? []
  : [Readonly<Record<Placeholders<(typeof en)[Key]>, string>>];

/** Languages by BCP 47 tag, each with the name its speakers give it. */
export const languages = {
  en: { name: 'English', messages: en },
  de: { name: 'Deutsch', messages: de },
} as const satisfies Record<string, { name: string; messages: Messages }>;

export type Language = keyof typeof languages;

export interface Words {
  readonly language: Language;
  /** The message of `key` with its placeholders filled in. */
  say<Key extends MessageKey>(key: Key, ...fillings: Fillings<Key>): string;
  /** '1 sensor', '7 sensors': `count` chooses the form, `written` is what is shown. */
  sensors(count: number, written: string): string;
  /** The category's word in this language; the node's own for a standard not known here. */
  band(standard: Standard, band: Band): string;
  quantity(name: string): string;
  flag(name: string): string;
}

export function createWords(language: Language): Words {
  const messages: Messages = languages[language].messages;
  const plural = new Intl.PluralRules(language);
  const known = (key: string, otherwise: string) => (isMessageKey(key) ? messages[key] : otherwise);
  return {
    language,
    say: (key, ...fillings) => fill(messages[key], fillings[0] ?? {}),
    sensors: (count, written) =>
      fill(messages[plural.select(count) === 'one' ? 'sensors.one' : 'sensors.other'], {
        count: written,
      }),
    band: (standard, band) => known(`band.${standard.id}.${band.level}`, band.word),
    quantity: (name) => known(`quantity.${name}`, name),
    flag: (name) => known(`flag.${name}`, name),
  };
}

/** The first language the reader prefers that we have; English when there is none. */
export function preferredLanguage(preferences: readonly string[]): Language {
  const tags = preferences.map((tag) => tag.toLowerCase().split('-')[0] ?? '');
  return tags.find(isLanguage) ?? 'en';
}

/** How to write numbers and times: as in the reader's own country, if they speak this language. */
export function localeFor(language: Language, preferences: readonly string[]): string {
  const own = preferences.find((tag) => tag.toLowerCase().split('-')[0] === language);
  return own ?? language;
}

export function isLanguage(tag: string): tag is Language {
  return Object.hasOwn(languages, tag);
}

function isMessageKey(key: string): key is MessageKey {
  return Object.hasOwn(en, key);
}

function fill(text: string, fillings: Readonly<Record<string, string>>): string {
  return text.replace(/\{(\w+)\}/g, (whole, name: string) => fillings[name] ?? whole);
}

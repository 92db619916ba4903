/**
 * The page's words. A language is one file of this shape: a missing or misspelt key fails the
 * build, and so does a caller that forgets a placeholder.
 */

import type { AveragingPeriod, Band, Standard } from '../api-types';
import { de } from './de';
import { en, type Messages } from './en';
import { es } from './es';
import { fi } from './fi';
import { fr } from './fr';
import { zhHant } from './zh-hant';

type Period = AveragingPeriod['period'];

export type MessageKey = keyof typeof en;
export type { Messages };

/** What has to be filled into a text. */
type Placeholders<Text extends string> = Text extends `${string}{${infer Name}}${infer Rest}`
  ? Name | Placeholders<Rest>
  : never;
/** Messages that nothing has to be filled into. */
export type PlainKey = {
  [Key in MessageKey]: [Placeholders<(typeof en)[Key]>] extends [never] ? Key : never;
}[MessageKey];
export type Fillings<Text extends string> = [Placeholders<Text>] extends [never]
  ? []
  : [Readonly<Record<Placeholders<Text>, string>>];

/** What a language is written with beyond the page's own font. */
export async function loadFont(language: Language): Promise<void> {
  if (language === 'zh-Hant') await import('../font-zh-hant');
}

/** Languages by BCP 47 tag, each with the name its speakers give it. */
export const languages = {
  en: { name: 'English', messages: en },
  de: { name: 'Deutsch', messages: de },
  es: { name: 'Español', messages: es },
  fi: { name: 'Suomi', messages: fi },
  fr: { name: 'Français', messages: fr },
  'zh-Hant': { name: '繁體中文', messages: zhHant },
} as const satisfies Record<string, { name: string; messages: Messages }>;

export type Language = keyof typeof languages;

export interface Words {
  readonly language: Language;
  /** The message of `key` with its placeholders filled in. */
  say<Key extends MessageKey>(key: Key, ...fillings: Fillings<(typeof en)[Key]>): string;
  /** '1 sensor', '7 sensors': `count` chooses the form, `written` is what is shown. */
  sensors(count: number, written: string): string;
  /** The category's word in this language; the node's own for a standard not known here. */
  band(standard: Standard, band: Band): string;
  /** What to do in this category; nothing for a standard not known here. */
  advice(standard: Standard, band: Band): string;
  quantity(name: string): string;
  /** What a mean is taken over. */
  period(name: Period): string;
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
    band: (standard, band) => known(`band.${category(standard, band)}`, band.word),
    advice: (standard, band) => known(`advice.${category(standard, band)}`, ''),
    period: (name) => messages[`period.${name}`],
    quantity: (name) => known(`quantity.${name}`, name),
    flag: (name) => known(`flag.${name}`, name),
  };
}

/** Bands that share a word are one category, named by the first of them. */
function category(standard: Standard, { word, level }: Band): string {
  const first = standard.bands.find((band) => band.word === word);
  return `${standard.id}.${first?.level ?? level}`;
}

/** The first language the reader prefers that we have; English when there is none. */
export function preferredLanguage(preferences: readonly string[]): Language {
  return preferences.map(languageOf).find((known) => known !== null) ?? 'en';
}

/** How to write numbers and times: as in the reader's own country, if they speak this language. */
export function localeFor(language: Language, preferences: readonly string[]): string {
  const own = preferences.find((tag) => languageOf(tag) === language);
  return own ?? language;
}

export function isLanguage(tag: string): tag is Language {
  return Object.hasOwn(languages, tag);
}

/** Which of ours a BCP 47 tag asks for; Chinese by its script, which its region tells. */
function languageOf(tag: string): Language | null {
  const { language, script } = likely(tag);
  const scripted = `${language}-${script}`;
  if (isLanguage(scripted)) return scripted;
  return isLanguage(language) ? language : null;
}

function likely(tag: string): { language: string; script: string } {
  try {
    const { language, script = '' } = new Intl.Locale(tag).maximize();
    return { language, script };
  } catch {
    return { language: '', script: '' };
  }
}

function isMessageKey(key: string): key is MessageKey {
  return Object.hasOwn(en, key);
}

export function fill(text: string, fillings: Readonly<Record<string, string>>): string {
  return text.replace(/\{(\w+)\}/g, (whole, name: string) => fillings[name] ?? whole);
}

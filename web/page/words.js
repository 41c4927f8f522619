// @ts-check
// Words, numbers and times in the reader's language.
import en from '../strings/en.js';

/** The strings of the language. @type {typeof en} */
export let w = en;
export let language = 'en';

/** @param {string} to "en" or "fr" */
export async function speak(to) {
  language = to === 'fr' ? 'fr' : 'en';
  w = language === 'fr' ? (await import('../strings/fr.js')).default : en;
}

/** @param {string|Record<string, string>} text plural forms by `n` @param {Record<string, any>} [values] @returns {string} */
export function fill(text, values = {}) {
  const form = typeof text === 'string' ? text : text[new Intl.PluralRules(language).select(values.n)] ?? text.other;
  return form.replace(/\{(\w+)\}/g, (_, name) => (typeof values[name] === 'number' ? count(values[name]) : values[name] ?? ''));
}

/** @param {number} n */
export const count = (n) => new Intl.NumberFormat(language).format(n);

/** A point in time in the reader's zone. @param {number} unixS @param {string} [timeZone] */
export function when(unixS, timeZone) {
  return new Intl.DateTimeFormat(language, {
    weekday: 'long', day: 'numeric', month: 'long', hour: 'numeric', minute: '2-digit', timeZoneName: 'short', timeZone,
  }).format(unixS * 1000);
}

/** A short one, for lists. @param {number} ms @param {string} [timeZone] */
export function clock(ms, timeZone) {
  return new Intl.DateTimeFormat(language, { dateStyle: 'short', timeStyle: 'medium', timeZone }).format(ms);
}

/** @param {number} ms */
export const timeOf = (ms) => new Intl.DateTimeFormat(language, { timeStyle: 'short' }).format(ms);

/** A length of time by its two largest units: "1 hr 5 min". @param {number} seconds */
export function span(seconds) {
  const units = /** @type {const} */ ([['day', 86_400], ['hour', 3600], ['minute', 60], ['second', 1]]);
  let rest = Math.max(0, Math.round(seconds));
  const first = Math.max(0, units.findIndex(([, size]) => rest >= size));
  const from = rest ? first : 3;
  const parts = units.slice(from, from + 2).map(([unit, size]) => {
    const n = Math.floor(rest / size);
    rest -= n * size;
    return n || !seconds || unit === 'second' && from === 3
      ? new Intl.NumberFormat(language, { style: 'unit', unit, unitDisplay: 'short' }).format(n) : '';
  });
  return parts.filter(Boolean).join(' ');
}

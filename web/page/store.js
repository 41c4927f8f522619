// @ts-check
// The page's state, one object, and what is kept on the device.

const NEWS_MAX = 60;

/** @param {'localStorage'|'sessionStorage'} where @param {string} name @param {string|null} [value] undefined: reads; null: removes @returns {string} */
function stored(where, name, value) {
  // Storage can be forbidden, above all in frames of other sites.
  try {
    const storage = window[where];
    if (value === null) storage.removeItem(`tribune.${name}`);
    else if (value !== undefined) storage.setItem(`tribune.${name}`, value);
    return storage.getItem(`tribune.${name}`) ?? '';
  } catch {
    return value ?? '';
  }
}
/** @param {string} name @param {string|null} [value] */
export const kept = (name, value) => stored('localStorage', name, value);
/** For as long as the tab is open. @param {string} name @param {string|null} [value] */
export const held = (name, value) => stored('sessionStorage', name, value);

/**
 * `step` of a room's page: "look" (is it there?), "before", "joining", "in", "over".
 * @type {Record<string, any>}
 */
export const s = {
  view: 'home', step: 'look', room: '', name: '', role: 'listener', token: '', rooms: null, info: null, why: null,
  waits: false, state: 'connecting', stage: [], you: {}, listeners: 0, settings: {}, hands: [], handsTotal: 0, handsAt: 0,
  news: [], decision: null, caption: '', asked: null, blocked: false, mic: 'off', micWarning: '', ptt: false, dialog: null,
  problem: '', more: '', note: '', expires: '', talks: false, log: [], now: Date.now(),
};

let draw = () => {};
let drawn = true;

/** @param {() => void} how */
export const drawBy = (how) => (draw = how);

/** @param {Record<string, any>} change */
export function set(change) {
  Object.assign(s, change);
  if (!drawn) return;
  drawn = false;
  // A hidden page gets no animation frames, and is read by screen readers all the same.
  queueMicrotask(() => {
    drawn = true;
    draw();
  });
}

/** @param {...string} texts what has happened */
export function tell(...texts) {
  if (texts.length) set({ news: [...s.news, ...texts.map((text) => ({ text, at: Date.now() }))].slice(-NEWS_MAX) });
}

/** @param {string} permission */
export const may = (permission) => Boolean(s.you.may?.includes(permission));

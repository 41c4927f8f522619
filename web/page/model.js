// @ts-check
// What is shown, made of what is known. Pure: no document, no connection.
import { clock, fill, span, w, when } from './words.js';

/** Roles by rank, the lowest first. */
export const ROLES = ['listener', 'speaker', 'cohost', 'host'];
/** Set in type, so that they look the same on every system. */
export const REACTIONS = { clap: 'bravo', heart: '♥', laugh: 'haha', agree: '+1', disagree: '−1', wow: 'oh!' };

/** @param {string} role one's own words for custom ones are the operator's */
export const roleName = (role) => w.roles[/** @type {keyof typeof w.roles} */ (role)] ?? role;

/** @param {string} path @returns {{view: 'home'|'room'|'embed', room: string}} */
export function route(path) {
  const [, kind, room] = /^\/(r|embed)\/([a-z0-9][a-z0-9._-]{0,63})\/?$/.exec(path) ?? [];
  return room ? { view: kind === 'r' ? 'room' : 'embed', room } : { view: 'home', room: '' };
}

/** A room's name of what somebody types. @param {string} text */
export const roomName = (text) => text.trim().toLowerCase().normalize('NFD').replace(/[^a-z0-9._-]+/g, (gap) => (/\s/.test(gap) ? '-' : ''))
  .replace(/^[._-]+/, '').slice(0, 64);

/** A token, bare or at the end of a link. @param {string} text */
export const tokenOf = (text) => decodeURIComponent(/(?:^|[#&])token=([^&\s]+)/.exec(text)?.[1] ?? text.trim());

/** What a token says of its bearer; only the relay checks it. @param {string} token @returns {{role: string, name: string}|null} */
export function readToken(token) {
  try {
    const bytes = Uint8Array.from(atob(token.split('.')[1].replace(/-/g, '+').replace(/_/g, '/')), (c) => c.charCodeAt(0));
    const { role, name, video = {} } = JSON.parse(new TextDecoder().decode(bytes));
    return { role: role ?? (video.roomAdmin ? 'host' : video.canPublish ? 'speaker' : 'listener'), name: name ?? '' };
  } catch {
    return null;
  }
}

/** A text cut to what the protocol takes. @param {string} text @param {number} bytes */
export function cut(text, bytes) {
  let [out, size] = ['', 0];
  for (const c of text.trim().normalize('NFC')) {
    size += new TextEncoder().encode(c).length;
    if (size > bytes) break;
    out += c;
  }
  return out;
}

/** One or two letters. @param {string} name */
export function initials(name) {
  const parts = name.split(/[\s._-]+/).filter(Boolean);
  const letters = [parts[0], parts.length > 1 ? parts[parts.length - 1] : ''].map((part) => [...part ?? ''][0] ?? '');
  return letters.join('').toUpperCase();
}

/** How far a ring opens, 0 to 1. @param {number} level −dBov */
export const loudness = (level) => Math.min(1, Math.max(0, (60 - level) / 45));

/** The stage in the order of rank. @param {any[]} stage @param {string} [self] */
export function people(stage, self) {
  const rank = (/** @type {any} */ { role }) => (role === 'host' ? 0 : role === 'cohost' ? 1 : 2);
  return [...stage].sort((a, b) => rank(a) - rank(b) || a.track - b.track).map((entry) => ({
    ...entry, isSelf: entry.participant === self,
    marks: ['silenced', 'muted', 'away'].filter((mark) => entry[mark]),
  }));
}

/** @param {any[]} stage */
export const hostOf = (stage) => stage.find(({ role }) => role === 'host')?.name ?? '';

/** What one may do to somebody. @param {string[]} may @param {any} entry on the stage, or with a hand, or found otherwise */
export function deedsFor(may, entry) {
  const isOnStage = entry.track !== undefined;
  const deeds = isOnStage ? ['ask_mute', entry.silenced ? 'unsilence' : 'silence', 'remove_from_stage'] : ['invite'];
  return [...deeds, 'set_role', ...(isOnStage ? ['hand_over'] : []), 'kick', 'ban']
    .filter((deed) => may.includes(deed === 'unsilence' ? 'silence' : deed));
}

/**
 * Whom a text names: a name that is known, an id of 16 hexadecimal digits, "sub:" and an identity, an address; any
 * other word is an identity.
 * @param {string} text @param {{participant: string, name: string}[]} known
 */
export function targetOf(text, known) {
  const word = text.trim();
  const found = known.filter(({ name }) => name.toLowerCase() === word.toLowerCase());
  if (found.length === 1) return { participant: found[0].participant };
  if (/^[0-9a-f]{16}$/.test(word)) return { participant: String(BigInt(`0x${word}`)) };
  if (/^\d{1,3}(\.\d{1,3}){3}$|^[0-9a-f:]*::?[0-9a-f:]*:[0-9a-f.:]*$/i.test(word)) return { address: word };
  return { subject: cut(word.replace(/^sub:/, ''), 128) };
}

/** What has changed on the stage. @param {any[]} before @param {any[]} after @returns {string[]} */
export function stageNews(before, after) {
  const { said } = w;
  const old = new Map(before.map((entry) => [entry.participant, entry]));
  const news = after.flatMap((entry) => {
    const was = old.get(entry.participant);
    const { name, role } = entry;
    old.delete(entry.participant);
    if (!was) return [fill(said.joined, { name, role: roleName(role) })];
    return [
      was.role !== role && fill(said.role, { name, role: roleName(role) }),
      !was.silenced !== !entry.silenced && fill(entry.silenced ? said.silenced : said.unsilenced, { name }),
      !was.away !== !entry.away && fill(entry.away ? said.away : said.here, { name }),
    ].filter((text) => text !== false);
  });
  return [...news, ...[...old.values()].map(({ name }) => fill(said.left, { name }))];
}

/** What has changed about oneself. @param {any} before @param {any} after @returns {string[]} */
export function ownNews(before, after) {
  const { said } = w;
  const because = after.reason ? ` ${fill(w.because, { reason: after.reason })}` : '';
  return [
    before.role !== after.role && fill(said.yourRole, { role: roleName(after.role) }) + because,
    before.hand !== after.hand && (after.hand ? fill(said.handUp, { n: after.hand }) : said.handDown + because),
    after.invited_by && before.invited_by !== after.invited_by && `${fill(w.inviteTitle, { name: after.invited_by })}.`,
    before.invited_by && !after.invited_by && !after.track && said.uninvited,
  ].filter(Boolean);
}

/** @param {string} action @returns {string[]} */
const actionWords = (action) => w.actions[/** @type {keyof typeof w.actions} */ (action)] ?? w.actions.other;

/** A decision about oneself, as a sentence. @param {any} moderated */
export function decision({ action, by, reason, until_s: until }) {
  const words = actionWords(action);
  const end = until ? ` ${fill(w.until, { when: when(until) })}` : '';
  return `${by ?? w.relay} ${fill(words[1] ?? words[0])}${end}.${reason ? ` ${fill(w.because, { reason })}` : ''}`;
}

/** Decisions that can be appealed. @param {any} moderated */
export const canAppeal = ({ action, entry }) => Boolean(entry)
  && ['hand_denied', 'silenced', 'removed_from_stage', 'kicked', 'banned', 'role_changed', 'permission_changed'].includes(action);

/** @param {any} party */
const partyName = (party) => (party && Object.keys(party).length
  ? (party.name ?? party.subject ?? party.address ?? w.somebody) + (party.role ? ` (${roleName(party.role)})` : '') : w.relay);

/** An entry of the log, as a line. @param {any} entry */
export function logLine(entry) {
  const what = fill(actionWords(entry.action)[0], { whom: entry.target ? partyName(entry.target) : w.somebody, about: String(entry.about) });
  return {
    number: Number(entry.number), at: clock(Number(entry.at_ms)),
    text: `${partyName(entry.actor)} ${what}${entry.duration_s ? ` ${fill(w.forTime, { span: span(Number(entry.duration_s)) })}` : ''}`
      + `${entry.detail ? ` (${entry.detail})` : ''}${entry.reason ? `: ${entry.reason}` : ''}`,
  };
}

/** The last removal in entries that are about oneself, as it would have been told. @param {any[]} entries */
export function removalIn(entries) {
  const entry = entries.filter(({ action }) => action === 'kicked' || action === 'banned').at(-1);
  if (!entry) return null;
  const { action, actor, reason, number, at_ms: at, duration_s: seconds } = entry;
  const until = seconds ? Math.round(Number(at) / 1000) + Number(seconds) : 0;
  return { action, by: actor?.name, reason, entry: Number(number), until_s: until };
}

/** Appeals without an answer. @param {any[]} entries @returns {Set<number>} their numbers */
export function openAppeals(entries) {
  const open = new Set(entries.filter(({ action }) => action === 'appealed').map(({ number }) => Number(number)));
  for (const { action, about } of entries) if (/^appeal_/.test(action)) open.delete(Number(about));
  return open;
}

/** The words for a refusal or a close. @param {{code?: string, closeCode?: number}} why @returns {string} */
export function explain({ code, closeCode }) {
  const errors = /** @type {Record<string, string>} */ (w.errors);
  const closes = /** @type {Record<number, string>} */ (w.closes);
  return errors[code ?? ''] ?? closes[closeCode ?? -1] ?? errors.other;
}

/** Refusals whose sentence says more than our words: what a rule asks for, until when, how long to wait. */
const TELLING = ['access_denied', 'barred', 'cooldown', 'slow_mode', 'not_permitted', 'overloaded', 'bad_request'];

/** The sentence of the relay, which is English, if it says more. @param {{code?: string, closeCode?: number, message?: string}} why @returns {string} */
export const detail = ({ code = '', closeCode, message = '' }) => (TELLING.includes(code) || closeCode === undefined && !(code in w.errors)
  ? message : '');

/** When to look again whether a room has begun: thousands may be waiting. @param {any} info @param {number} nowS @param {number} random @returns {number} ms */
export function lookAgain({ phase, settings = {} }, nowS, random) {
  const rest = (settings.starts_s || nowS) - nowS;
  const seconds = phase === 'live' ? 15 : phase !== 'announced' ? 8 : rest > 3600 ? 60 : rest > 600 ? 20 : rest > 60 ? 15 : 5;
  return seconds * 1000 * (0.75 + random / 2);
}

/** What one can do about it. @param {string} code @returns {'token'|'name'|'retry'|'back'|'none'} */
export function remedy(code) {
  if (/^token_|^access_denied|^not_permitted/.test(code)) return 'token';
  if (code === 'name_taken') return 'name';
  if (['left', 'replaced'].includes(code)) return 'back';
  return ['barred', 'kicked', 'banned', 'removed', 'room_over', 'done'].includes(code) ? 'none' : 'retry';
}

/** The entry of the log that a refusal names: it can be appealed. @param {string} message */
export const entryIn = (message) => Number(/\bentry (\d+)/.exec(message)?.[1] ?? 0);

// @ts-check
// Before and after a room: the front page, the way in, and what is said when one is out.
import { errand, listRooms } from '../tribune.js';
import { h } from './dom.js';
import { canAppeal, cut, decision, detail, entryIn, explain, hostOf, readToken, remedy, roleName, roomName, ROLES, tokenOf } from './model.js';
import { button, choice, field, form, relaySays, submit } from './parts.js';
import { dialling, join, look, ownSession, room } from './stay.js';
import { held, kept, s, set } from './store.js';
import { fill, span, w, when } from './words.js';

/** @param {string} name */
const enter = (name) => roomName(name) && location.assign(`/r/${roomName(name)}${location.search}`);

/**
 * A request of somebody who is not in the room.
 * @param {{do: string, [field: string]: any}} act @param {string} role @param {string} [where] another room than this one
 * @returns {Promise<any>}
 */
export const askOutside = (act, role, where) => errand({
  room: where ?? s.room, name: s.name || w.guest, role, token: s.token || undefined, session: ownSession().session, ...dialling(), act,
});

export async function loadRooms() {
  const { rooms } = await listRooms(dialling()).catch((error) => ({ rooms: [], error }));
  set({ rooms });
}

export function home() {
  const { rooms } = s;
  return h('main.door', { key: 'home', id: 'main' },
    h('h1', null, w.tagline),
    form(({ room: name }) => enter(name), { class: 'row' },
      field(w.roomName, { name: 'room', required: true, maxlength: 64, autocapitalize: 'none', spellcheck: 'false' }), submit(w.go)),
    h('p', null, button(w.create, () => set({ dialog: { kind: 'create' } }), 'create')),
    h('section', { 'aria-label': w.rooms }, h('h2', null, w.rooms),
      rooms && !rooms.length && h('p.soft', null, w.noRooms),
      rooms && h('ul.rooms', null, rooms.map((/** @type {any} */ { room: name, title, phase, starts_s: starts, listeners = 0 }) =>
        h('li', { key: name }, h('a', { href: `/r/${name}${location.search}` },
          h('strong', null, title || name),
          h('span.soft', null, phase === 'live' ? h('b.live', null, w.live) : starts ? when(starts) : w.announced, ' ',
            phase === 'live' && fill(w.listenersN, { n: Number(listeners) }))))))));
}

/** @param {string} text */
function takeToken(text) {
  const token = tokenOf(text);
  held(`token.${s.room}`, token || null);
  const { name, role = 'listener' } = readToken(token) ?? {};
  set({ token, role, name: name || s.name, why: null });
}

/** What is known of the room before one is in it. */
function notice() {
  const { phase = '', settings = {}, stage = [], listeners = 0 } = s.info ?? {};
  const { title, starts_s: starts = 0, access, locked } = settings;
  const rest = starts - s.now / 1000;
  const host = hostOf(stage);
  return [
    h('h1', { 'data-testid': 'title' }, title || s.room),
    h('p.soft', null, phase === 'live' && h('b.live', null, w.live), ' ', host && fill(w.hostedBy, { name: host }), ' ',
      phase === 'live' && fill(w.listenersN, { n: Number(listeners) })),
    phase === 'announced' && h('div.starts', null,
      starts > 0 && h('p', null, fill(w.starts, { when: when(starts) })),
      starts > 0 && h('p.count', { role: 'timer' }, rest > 0 ? fill(w.startsIn, { span: span(rest) }) : w.startsNow),
      h('p.soft', null, w.announced)),
    (phase === 'absent' || phase === 'ended') && h('p', null, phase === 'absent' ? w.absent : w.ended),
    access && access !== 'open' && h('p.soft', null, fill(w.access, { rule: w.accessOf[/** @type {'open'} */ (access)] ?? access }),
      locked && `, ${w.lockedNow}`),
  ];
}

export function before() {
  const isLive = s.info?.phase === 'live' || s.info?.phase === 'hidden';
  const { role } = readToken(s.token) ?? {};
  return h('main.door', { key: 'before', id: 'main' },
    s.step === 'look' ? h('p', { role: 'status' }, w.states.connecting) : notice(),
    s.step !== 'look' && form(() => (isLive ? join('listener') : (set({ waits: true }), look())), { class: 'way' },
      field(w.yourName, {
        testid: 'join-name', name: 'name', required: true, maxlength: 64, autocomplete: 'nickname', value: s.name,
        oninput: (/** @type {any} */ { target }) => set({ name: target.value }),
      }),
      s.waits ? h('p', { role: 'status' }, w.waiting) : submit(isLive ? w.listen : w.waitFor, 'listen', { disabled: s.step === 'joining' })),
    s.step !== 'look' && role && role !== 'listener' && h('p', null, fill(w.hasToken, { role: roleName(role) })),
    s.step !== 'look' && h('details', { open: Boolean(role && role !== 'listener') }, h('summary', null, w.more),
      form(({ token, role: as }) => {
        takeToken(token);
        join(as);
      }, { class: 'way' },
      choice(w.role, ROLES.map((as) => [as, roleName(as)]), { name: 'role', testid: 'role', value: s.role }),
      field(w.token, { tag: 'textarea', name: 'token', testid: 'token', rows: 2, spellcheck: 'false', value: s.token, placeholder: w.tokenBox }),
      h('p.soft', null, w.micAsked), submit(w.useToken, 'join'))),
    s.step === 'joining' && h('p', { role: 'status', 'data-testid': 'state', 'data-state': 'connecting' }, w.states.connecting));
}

/** @param {number} entry of the log */
function appeal(entry) {
  return form(async ({ text: long }) => {
    const text = cut(long, 200);
    const asked = room ? room.appeal(entry, text) : askOutside({ do: 'appeal', entry, text }, 'listener');
    set({ problem: await asked.then(() => w.appealed, (/** @type {any} */ error) => explain(error)) });
  }, { class: 'way' }, field(w.appealText, { tag: 'textarea', name: 'text', testid: 'appeal-text', required: true, maxlength: 200 }), submit(w.appeal, 'confirm'));
}

export function over() {
  const why = s.why ?? {};
  const { moderated, message } = why;
  const more = detail(why);
  const way = remedy(why.code ?? '');
  const named = why.code === 'barred' ? entryIn(message ?? '') : 0;
  const entry = moderated && canAppeal(moderated) ? Number(moderated.entry) : named;
  const access = s.settings.access ?? s.info?.settings?.access;
  const again = () => set({ step: 'look', why: null }) ?? look();
  return h('main.door', { key: 'over', id: 'main' },
    h('p.soft', null, s.settings.title || s.room),
    h('h1', { 'data-testid': 'state', 'data-state': 'ended', tabindex: -1, ref: (/** @type {any} */ element) => element.focus() }, explain(why)),
    moderated && h('p', null, decision(moderated)),
    moderated && !moderated.until_s && why.code === 'banned' && h('p', null, w.untilLifted),
    why.code === 'access_denied' && access && h('p', null, fill(w.access, { rule: w.accessOf[/** @type {'open'} */ (access)] ?? access })),
    more && !moderated && h('p.soft', null, relaySays(more)),
    entry > 0 && appeal(entry),
    s.problem && h('p', { role: 'status' }, s.problem),
    way === 'token' && form(({ token }) => {
      takeToken(token);
      again();
    }, { class: 'way' }, field(w.token, { tag: 'textarea', name: 'token', testid: 'token', rows: 2, required: true, placeholder: w.tokenBox }), submit(w.useToken, 'join')),
    h('p.row', null,
      way !== 'none' && way !== 'token' && button(way === 'back' ? w.back : way === 'name' ? w.otherName : w.whatNow, again, 'again', { class: 'main' }),
      h('a.button', { href: `/${location.search}` }, w.toRooms)));
}

// @ts-check
// What one is asked before something is done, and what opens above the room.
import { h } from './dom.js';
import { askOutside } from './door.js';
import { cut, deedsFor, logLine, openAppeals, readToken, roleName, roomName, ROLES, targetOf, tokenOf } from './model.js';
import { aim, button, check, choice, dialog, field, form, relaySays, shut, submit } from './parts.js';
import { reopen } from './hall.js';
import { ask, attempt, logParts, room } from './stay.js';
import { held, kept, may, s, set, tell } from './store.js';
import { fill, span, w, when } from './words.js';

const NOTE_BYTES = 200;

/** Shows another dialog in place of this one. @param {string} kind @param {Record<string, any>} [more] */
const go = (kind, more) => () => {
  set({ dialog: { kind, ...more } });
  queueMicrotask(aim);
};

/** @param {() => Promise<any>} what */
async function doAndShut(what) {
  if (await attempt(what)) {
    set({ note: w.done });
    shut();
  }
}

/** @param {Record<string, any>} [props] */
const reasonField = (props) => field(w.reason, { name: 'reason', testid: 'reason', maxlength: NOTE_BYTES, ...props });

const problem = () => s.problem && h('p.bad', { role: 'alert' }, s.problem, relaySays(s.more));

/** @type {Record<string, (data: any) => [string, ...any[]]>} each gives title and content */
const kinds = {
  raise: () => [w.raise, form(({ note }) => doAndShut(() => /** @type {any} */ (room).raiseHand(cut(note, NOTE_BYTES))), { class: 'way' },
    field(w.note, { name: 'note', testid: 'hand-note', maxlength: NOTE_BYTES }), h('p.soft', null, w.raiseSay), submit(w.raiseDo, 'hand-send'))],

  invited: () => [fill(w.inviteTitle, { name: s.you.invited_by ?? '' }), h('p', null, w.inviteSay), h('p.row', null,
    button(w.accept, () => answer(true), 'accept-invite', { class: 'main' }), button(w.decline, () => answer(false), 'decline-invite'))],

  appeal: ({ entry }) => [w.appeal, form(({ text }) => doAndShut(() => /** @type {any} */ (room).appeal(entry, cut(text, NOTE_BYTES))
    .then(() => (tell(w.appealed), set({ decision: null }), true))), { class: 'way' },
  field(w.appealText, { tag: 'textarea', name: 'text', testid: 'appeal-text', required: true, maxlength: NOTE_BYTES }), submit(w.appeal, 'confirm'))],

  person: ({ person }) => [person.name, h('p.column', null, deedsFor(s.you.may ?? [], person).map((deed) => {
    const isDirect = deed === 'unsilence' || deed === 'invite';
    const label = deed === 'invite' ? w.invite : w.asks[/** @type {'ban'} */ (deed)];
    return button(label, isDirect ? () => doAndShut(() => ask(actOf(deed, person, {}))) : go('deed', { deed, person }),
      deed === 'unsilence' ? 'silence' : deed, { key: deed, class: /kick|ban/.test(deed) ? 'grave' : '' });
  }))],

  deed: ({ deed, person }) => {
    const name = person?.name ?? '';
    const label = fill(w.asks[/** @type {'ban'} */ (deed)], { name });
    return [name && deed !== 'deny' ? `${label}: ${name}` : label, form((fields) => doAndShut(() => ask(actOf(deed, person, fields))), { class: 'way' },
      deed === 'end_room' && h('p', null, w.endSay),
      deed === 'hand_over' && h('p', null, fill(w.handOverSay, { name })),
      deed === 'set_role' && choice(w.role, ROLES.slice(0, 3).map((role) => [role, roleName(role)]), { name: 'role', value: person.role ?? 'speaker' }),
      deed === 'ban' && choice(w.length, Object.entries(w.lengths), { name: 'length', value: 3600 }),
      !/end_room|hand_over/.test(deed) && reasonField(),
      h('p.row', null, submit(w.confirm, 'confirm', { class: /kick|ban|end_room/.test(deed) ? 'grave' : 'main' }), button(w.cancel, shut)))];
  },

  people: () => [w.people, form(({ who }) => {
    const target = targetOf(who, [...s.stage, ...s.hands, ...s.found ?? []]);
    const known = [...s.stage, ...s.hands].find(({ participant }) => participant === /** @type {any} */ (target).participant);
    go('person', { person: known ?? { name: who.trim(), target } })();
  }, { class: 'row' }, field(w.identity, { name: 'who', required: true }), submit(w.find)),
  may('see_listeners') && [h('h3', null, w.worst), h('ul.lines', {
    ref: () => attempt(() => ask({ do: 'list_listeners', worst: 30 }).then(({ listeners }) => set({ found: listeners }))),
  }, (s.found ?? []).map((/** @type {any} */ person) => h('li', { key: person.participant }, h('strong', null, person.name), ' ',
    h('span.soft', null, roleName(person.role)), button('⋯', go('person', { person: s.stage.find((/** @type {any} */ { participant }) => participant === person.participant) ?? person }), null,
      { class: 'quiet', 'aria-label': fill(w.manage, person) }))))]],

  bans: () => [w.bans, h('ul.lines', {
    ref: () => attempt(() => ask({ do: 'list_bans' }).then(({ bans }) => set({ bans }))),
  }, (s.bans ?? []).map((/** @type {any} */ { target, name, until_s: until, reason }) => h('li', { key: JSON.stringify(target) },
    h('strong', null, name ?? target.subject ?? target.address ?? target.participant), ' ',
    h('span.soft', null, until ? fill(w.until, { when: when(until) }) : w.untilLifted, reason && ` ${fill(w.because, { reason })}`),
    may('ban') && button(w.asks.unban, () => doAndShut(() => ask({ do: 'unban', target })), 'unban')))),
  s.bans && !s.bans.length && h('p.soft', null, w.noBans)],

  settings: () => {
    const { title = '', starts_s: starts, capacity = 0, listed, access = 'token' } = s.settings;
    const was = settingsOf({ title, starts: localTime(starts), capacity, access, listed });
    return [w.settings, form((fields) => {
      const change = changed(was, settingsOf(fields));
      return change ? doAndShut(() => ask({ do: 'set', change })) : shut();
    }, { class: 'way' }, roomFields({ title, starts, capacity, listed, access }), submit(w.save, 'confirm'))];
  },

  invitation: ({ link }) => [w.invitation, form(async ({ role, length }) => {
    const made = await attempt(() => ask({ do: 'make_invitation', role, valid_for_s: Number(length) }));
    if (made) set({ dialog: { kind: 'invitation', link: `${location.origin}/r/${s.room}#token=${made.token}` } });
  }, { class: 'way' },
  choice(w.role, ROLES.slice(0, 3).map((role) => [role, roleName(role)]), { name: 'role', value: 'listener' }),
  choice(w.validFor, Object.entries(w.lengths).filter(([length]) => Number(length)), { name: 'length', value: 86_400 }), submit(w.makeLink, 'make-link')),
  link && linkField(link)],

  renew: () => [w.renew, form(({ token: text }) => doAndShut(async () => {
    const token = tokenOf(text);
    await room?.renewToken(token);
    held(`token.${s.room}`, token);
    set({ token, expires: '' });
  }), { class: 'way' }, field(w.token, { tag: 'textarea', name: 'token', testid: 'token', rows: 2, required: true, placeholder: w.tokenBox }), submit(w.renew, 'confirm'))],

  create: () => [w.create, form((fields) => doAndShut(async () => {
    const name = roomName(fields.room);
    const token = held(`token.${name}`, tokenOf(fields.token) || null);
    set({ token, name: kept('name', fields.name) });
    await askOutside({ do: 'create', settings: settingsOf(fields) }, readToken(token)?.role ?? 'host', name);
    location.assign(`/r/${name}${location.search}`);
  }), { class: 'way' }, field(w.roomName, { name: 'room', required: true, maxlength: 64, autocapitalize: 'none', spellcheck: 'false' }),
  roomFields({ title: '', starts: 0, capacity: 0, listed: true, access: 'open' }),
  field(w.yourName, { name: 'name', required: true, maxlength: 64, autocomplete: 'nickname', value: s.name }),
  field(w.token, { tag: 'textarea', name: 'token', rows: 2, placeholder: w.tokenBox }), submit(w.create, 'confirm'))],

  link: ({ url }) => [w.share, linkField(url)],

  log: () => {
    const open = openAppeals(s.log);
    return [w.log, s.logOwn && h('p.soft', null, w.logOwn), h('ol.log', { reversed: true, 'data-testid': 'log-entries', ref: () => readLog(1), tabindex: 0, 'aria-label': w.log },
      [...s.log].reverse().map((/** @type {any} */ entry) => {
        const { number, at, text } = logLine(entry);
        return h('li', { key: number }, h('span.soft', null, `#${number} · ${at}`), h('span', null, text),
          open.has(number) && may('answer_appeal') && form(({ reason }, how) => attempt(() => ask({ do: 'answer_appeal', entry: number, uphold: how === 'uphold', reason: cut(reason, NOTE_BYTES) })
            .then(() => readLog(s.logNext))), { class: 'row' }, reasonField(),
          submit(w.uphold, 'uphold', { value: 'uphold' }), submit(w.reject, 'reject', { value: 'reject', class: '' })));
      }))];
  },

  sound: () => [w.sound, h('div.way', null,
    field(w.volume, { type: 'range', min: 0, max: 100, value: String(Math.round((room?.volume ?? 1) * 100)), oninput: (/** @type {any} */ { target }) => room && (room.volume = target.value / 100) }),
    s.you.track === undefined && check(w.live500, { checked: s.you.profile !== 'audience', onchange: (/** @type {any} */ { target }) => attempt(() => /** @type {any} */ (room).setProfile(target.checked ? 'live' : undefined)) }),
    s.you.track !== undefined && choice(w.device, [['', w.deviceAny], ...(s.devices ?? []).map((/** @type {any} */ { deviceId, label }) => [deviceId, label])], {
      value: s.device ?? '', onchange: (/** @type {any} */ { target }) => (set({ device: target.value }), reopen()), ref: listDevices,
    }),
    s.you.track !== undefined && check(w.ptt, { checked: s.ptt, onchange: (/** @type {any} */ { target }) => {
      kept('ptt', target.checked ? '1' : null);
      set({ ptt: target.checked });
      reopen();
    } }))],
};

export function dialogs() {
  const { dialog: data } = s;
  if (!data) return '';
  const [title, ...content] = kinds[data.kind](data);
  // Closing one that has made way for another must not close the other.
  return dialog(title, () => s.dialog === data && set({ dialog: null, problem: '' }), ...content.flat(), problem());
}

/** @param {boolean} accept */
function answer(accept) {
  s.accepts = accept;
  doAndShut(() => /** @type {any} */ (room).answerInvite(accept));
}

/** @param {string} deed @param {any} person @param {Record<string, string>} fields */
function actOf(deed, person, { reason = '', length = '0', role }) {
  const { participant } = person ?? {};
  const why = { reason: cut(reason, NOTE_BYTES) };
  const target = person?.target ?? { participant };
  if (deed === 'end_room') return { do: deed };
  if (deed === 'hand_over') return { do: deed, participant };
  if (deed === 'silence_all') return { do: deed, on: true, ...why };
  if (deed === 'clear_hands') return { do: deed, ...why };
  if (deed === 'silence' || deed === 'unsilence') return { do: 'silence', participant, on: deed === 'silence', ...why };
  if (deed === 'invite') return { do: deed, target };
  if (deed === 'kick') return { do: deed, target, ...why };
  if (deed === 'set_role') return { do: deed, target, role, ...why };
  if (deed === 'ban') return { do: deed, target, ...(Number(length) ? { duration_s: Number(length) } : {}), ...why };
  return { do: deed, participant, ...why };
}

/** @param {Record<string, any>} values */
export const roomFields = ({ title, starts, capacity, listed, access }) => [
  field(w.title, { name: 'title', value: title, maxlength: NOTE_BYTES }),
  field(w.startsAt, { name: 'starts', type: 'datetime-local', value: localTime(starts) }),
  field(w.capacity, { name: 'capacity', type: 'number', min: 0, value: String(capacity) }),
  field(w.accessRule, { name: 'access', value: access, maxlength: 512, spellcheck: 'false' }),
  check(w.listed, { name: 'listed', checked: Boolean(listed) }),
];

/** @param {Record<string, any>} fields */
export const settingsOf = ({ title, starts, capacity, access, listed }) => ({
  title: cut(title, NOTE_BYTES), starts_s: starts ? Math.round(Date.parse(starts) / 1000) : 0, capacity: Number(capacity), access: access.trim(),
  listed: Boolean(listed),
});

/** What differs; null if nothing does. @param {Record<string, any>} was @param {Record<string, any>} is */
export function changed(was, is) {
  const fields = Object.entries(is).filter(([name, value]) => value !== was[name]);
  return fields.length ? Object.fromEntries(fields) : null;
}

/** For an input, which has no zone. @param {number} [unixS] */
const localTime = (unixS) => !unixS ? '' : new Date((unixS - new Date(unixS * 1000).getTimezoneOffset() * 60) * 1000).toISOString().slice(0, 16);

/** @param {string} url */
const linkField = (url) => h('p.row', null,
  field(w.link, { value: url, readonly: true, testid: 'link', onfocus: (/** @type {any} */ { target }) => target.select() }),
  button(w.copy, () => navigator.clipboard?.writeText(url).then(() => set({ note: w.copied })), 'copy', { class: 'main' }));

/** @param {number} from */
const readLog = (from) => attempt(async () => {
  let log = from > 1 ? s.log : [];
  for await (const { entries, next, ownOnly } of logParts(/** @type {any} */ (room), from)) {
    log = [...log, ...entries];
    set({ log, logOwn: ownOnly, logNext: next });
  }
});

async function listDevices() {
  const all = await navigator.mediaDevices?.enumerateDevices().catch(() => []) ?? [];
  set({ devices: all.filter(({ kind, deviceId }) => kind === 'audioinput' && deviceId) });
}

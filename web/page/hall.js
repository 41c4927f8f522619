// @ts-check
// The room while one is in it: stage, hands, what happened, and the bar of what one can do.
import { h } from './dom.js';
import { canAppeal, decision, hostOf, initials, people, REACTIONS, roleName } from './model.js';
import { button, relaySays } from './parts.js';
import { ask, attempt, hear, leave, openMic, room, talk, toggleMute } from './stay.js';
import { may, s, set } from './store.js';
import { count, fill, span, timeOf, w } from './words.js';

/** @param {string} kind @param {Record<string, any>} [more] */
const open = (kind, more) => () => set({ dialog: { kind, ...more } });

const GOVERNS = ['ask_mute', 'silence', 'remove_from_stage', 'set_role', 'hand_over', 'kick', 'ban'];

/** @param {any} person */
function seat(person) {
  const { name, role, track, isSelf, marks, participant } = person;
  return h('li', {
    key: participant, 'data-track': track, 'data-self': isSelf, class: marks.join(' '),
    'data-testid': 'person', 'data-name': name,
  },
  h('span.face', { 'aria-hidden': 'true' }, initials(name)),
  h('strong', null, name, isSelf && ` (${w.you})`),
  h('span.soft', null, roleName(role), marks.map((/** @type {'muted'} */ mark) => ` · ${w[mark]}`).join('')),
  h('span.speaks', null, w.speaking),
  isSelf && role !== 'host' && button(w.leaveStage, () => attempt(() => /** @type {any} */ (room).leaveStage()), 'leave-stage', { class: 'quiet' }),
  !isSelf && GOVERNS.some(may) && button('⋯', open('person', { person }), 'manage', { class: 'quiet', 'aria-label': fill(w.manage, { name }) }));
}

function stage() {
  return h('section.stage', { 'aria-label': w.stage },
    s.stage.length ? null : h('p.soft', null, w.stageEmpty),
    h('ul', { 'data-testid': 'stage' }, people(s.stage, s.you.participant).map(seat)),
    h('p.captions', { 'aria-live': 'polite', 'aria-label': w.captions, hidden: !s.caption }, s.caption));
}

/** @param {any} hand @param {number} i */
function handLine({ participant, name, note, waiting_s: waited }, i) {
  const person = { participant, name };
  return h('li', { key: participant },
    h('span.place', null, count(i + 1)),
    h('span.who', null, h('strong', null, name), note && h('span', null, note),
      h('span.soft', null, fill(w.waits, { span: span(waited + (s.now - s.handsAt) / 1000) }))),
    h('span.row', null,
      may('grant') && button(w.grant, () => attempt(() => ask({ do: 'grant', participant })), 'grant', { class: 'main', 'aria-label': `${w.grant}: ${name}` }),
      may('deny') && button(w.deny, open('deed', { deed: 'deny', person }), 'deny', { 'aria-label': `${w.deny}: ${name}` }),
      GOVERNS.some(may) && button('⋯', open('person', { person }), null, { class: 'quiet', 'aria-label': fill(w.manage, { name }) })));
}

/** @param {any} change */
const change = (change) => () => attempt(() => ask({ do: 'set', change }));

function hands() {
  const { hands_closed: isClosed } = s.settings;
  return may('see_hands') && h('section', { key: 'hands', 'data-testid': 'hands', 'aria-label': w.hands },
    h('h2', null, w.hands, ' ', s.handsTotal > 0 && h('span.soft', null, count(s.handsTotal))),
    !s.hands.length && h('p.soft', null, isClosed ? w.handsShut : w.noHands),
    h('ol.hands', null, s.hands.map(handLine)),
    s.handsTotal > s.hands.length && h('p.soft', null, fill(w.handsMore, { n: s.handsTotal - s.hands.length })),
    may('clear_hands') && h('p.row', null,
      button(isClosed ? w.openHands : w.closeHands, change({ hands_closed: !isClosed }), 'close-hands'),
      s.hands.length > 0 && button(w.clear, open('deed', { deed: 'clear_hands' }), 'clear-hands')));
}

function governing() {
  const { locked } = s.settings;
  const areSilent = s.stage.some((/** @type {any} */ { silenced }) => silenced);
  const tools = [
    may('invite') && button(w.people, open('people'), 'people'),
    may('lock') && button(locked ? w.unlock : w.lock, change({ locked: !locked }), 'lock'),
    may('silence_all') && (areSilent
      ? button(w.unsilenceAll, () => attempt(() => ask({ do: 'silence_all', on: false })), 'unsilence-all')
      : button(w.silenceAll, open('deed', { deed: 'silence_all' }), 'silence-all')),
    may('make_invitation') && button(w.invitation, open('invitation'), 'invitation'),
    may('set_room') && button(w.settings, open('settings'), 'settings'),
    may('see_bans') && button(w.bans, open('bans'), 'bans'),
    may('read_log') && button(w.log, open('log'), 'log'),
    may('end_room') && button(w.asks.end_room, open('deed', { deed: 'end_room' }), 'end-room', { class: 'grave' }),
  ];
  return tools.some(Boolean) && h('section', { key: 'tools', 'aria-label': w.host }, h('h2', null, w.host), h('p.row', null, tools));
}

/** What concerns oneself, above everything else. */
function concerns() {
  const { you, decision: decided } = s;
  return h('div.concerns', { role: 'status' },
    s.blocked && h('p', { key: 'blocked' }, w.blocked, ' ', button(w.hear, hear, 'hear', { class: 'main' })),
    s.problem && h('p.bad', { key: 'problem', 'data-testid': 'problem' }, s.problem, relaySays(s.more), ' ', button(w.close, () => set({ problem: '' }), null, { class: 'quiet' })),
    s.note && h('p', { key: 'note' }, s.note),
    s.expires && h('p', { key: 'expires' }, s.expires, ' ', button(w.renew, open('renew'), 'renew')),
    you.hand && h('p', { key: 'hand', 'data-testid': 'place' }, fill(w.place, { n: you.hand })),
    you.silenced && h('p.bad', { key: 'silenced' }, w.silencedYou),
    s.micWarning && h('p.bad', { key: 'mic' }, s.micWarning),
    s.asked && h('p', { key: 'asked' }, `${fill(w.pleaseMute, s.asked)}. ${s.asked.reason ? fill(w.because, s.asked) : ''} `,
      button(w.mute, () => (s.mic === 'open' ? toggleMute() : set({ asked: null })))),
    decided && h('p', { key: 'decided', 'data-testid': 'moderated' }, decision(decided), ' ',
      canAppeal(decided) && button(w.appeal, open('appeal', { entry: decided.entry }), 'appeal'),
      button(w.close, () => set({ decision: null }), null, { class: 'quiet' })));
}

function voice() {
  const { mic, ptt } = s;
  const isOff = mic === 'off' || mic === 'asking';
  const label = isOff ? w.micOpen : mic === 'muted' ? w.unmute : ptt ? w.hold : w.mute;
  const isHeld = ptt && mic === 'open';
  return [
    h('button.main', {
      key: 'mute', type: 'button', 'data-testid': 'mute', 'data-mic': mic,
      'aria-label': `${label} (${fill(w.micKey, { key: isHeld ? w.space : 'M' })})`, disabled: mic === 'asking',
      onclick: isHeld ? null : toggleMute,
      onpointerdown: isHeld && (() => talk(true)), onpointerup: isHeld && (() => talk(false)), onpointerleave: isHeld && (() => talk(false)),
    }, label),
    h('meter', { key: 'meter', min: 0, max: 1, 'aria-label': w.level }),
  ];
}

function bar() {
  const { you } = s;
  const isOnStage = you.track !== undefined;
  return h('footer', { key: 'bar' },
    isOnStage ? voice() : may('raise_hand') && (you.hand
      ? button(w.lower, () => attempt(() => /** @type {any} */ (room).lowerHand()), 'hand', { class: 'main', key: 'hand' })
      : button(w.raise, open('raise'), 'hand', { class: 'main', key: 'hand', disabled: Boolean(s.settings.hands_closed), title: s.settings.hands_closed ? w.handsShut : undefined })),
    may('react') && h('div.reactions', { key: 'react', role: 'group', 'aria-label': w.reactions }, Object.entries(REACTIONS).map(([name, face]) =>
      button(face, () => attempt(() => /** @type {any} */ (room).react(name)), `react-${name}`, { key: name, class: 'quiet', 'aria-label': `${face}: ${w.reaction[/** @type {'clap'} */ (name)]}` }))),
    button(w.sound, open('sound'), 'sound', { key: 'sound' }),
    button(w.leave, leave, 'leave', { key: 'leave', class: 'grave' }));
}

export function hall() {
  const { title } = s.settings;
  const host = hostOf(s.stage);
  return h('div.hall', { key: 'hall' }, h('main', { id: 'main' },
    h('div.head', null,
      h('h1', { 'data-testid': 'title', tabindex: -1, ref: (/** @type {any} */ element) => element.focus() }, title || s.room),
      h('p.soft', null, h('span', { 'data-testid': 'state', 'data-state': s.state, role: 'status', class: 'state' }, w.states[/** @type {'joined'} */ (s.state)]),
        host && h('span', null, fill(w.hostedBy, { name: host })),
        h('span', { 'data-testid': 'listeners', 'data-count': s.listeners }, fill(w.listenersN, { n: s.listeners })),
        s.settings.locked && h('span', null, w.lockedNow),
        button(w.share, share, 'share', { class: 'quiet' }))),
    concerns(),
    stage(),
    h('div.side', null, hands(), governing(),
      h('section', { key: 'news', 'aria-label': w.news }, h('h2', null, w.news),
        h('div.news', { role: 'log', tabindex: 0, 'aria-label': w.news, 'data-testid': 'news' }, s.news.map((/** @type {any} */ { text, at }) =>
          h('p', { key: `${at} ${text}` }, h('time.soft', null, timeOf(at)), ' ', text)))))),
  bar());
}

async function share() {
  const url = location.origin + location.pathname;
  try {
    if (navigator.share && matchMedia('(pointer: coarse)').matches) return await navigator.share({ title: s.settings.title || s.room, url });
    await navigator.clipboard.writeText(url);
    set({ note: w.copied });
  } catch {
    set({ dialog: { kind: 'link', url } });
  }
}

/** Opens the microphone again, by another device or in another way. */
export const reopen = () => s.mic !== 'off' && openMic(s.mic === 'muted');

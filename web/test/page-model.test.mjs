// View models of the page: what is shown, made of what is known.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  canAppeal, cut, decision, deedsFor, entryIn, hostOf, initials, logLine, lookAgain, loudness, openAppeals, ownNews, people, readToken, removalIn,
  roomName, route, stageNews, targetOf, tokenOf,
} from '../page/model.js';
import { speak } from '../page/words.js';

const ada = { participant: '1', name: 'Ada', role: 'host', track: 3 };
const bob = { participant: '18446744073709551615', name: 'Bob', role: 'speaker', track: 1 };
const cleo = { participant: '3', name: 'Cleo', role: 'cohost', track: 2, muted: true };

test('addresses name a view and a room', () => {
  assert.deepEqual(route('/'), { view: 'home', room: '' });
  assert.deepEqual(route('/r/town-hall'), { view: 'room', room: 'town-hall' });
  assert.deepEqual(route('/r/town-hall/'), { view: 'room', room: 'town-hall' });
  assert.deepEqual(route('/embed/a.b_c'), { view: 'embed', room: 'a.b_c' });
  for (const path of ['/r/', '/r/Town', '/r/-a', '/r/a/b', `/r/${'x'.repeat(65)}`, '/x/room']) assert.equal(route(path).view, 'home', path);
});

test('a room\'s name is made of what is typed', () => {
  assert.equal(roomName('  Café des Arts '), 'cafe-des-arts');
  assert.equal(roomName('--rivers!'), 'rivers');
  assert.equal(roomName('???'), '');
  assert.equal(roomName('x'.repeat(80)).length, 64);
  assert.equal(route(`/r/${roomName('Rivers & Bridges 2')}`).view, 'room');
});

test('a token is taken bare or from a link, and says who one is', () => {
  const claims = (all) => `h.${Buffer.from(JSON.stringify(all)).toString('base64url')}.s`;
  assert.equal(tokenOf(' a.b.c '), 'a.b.c');
  assert.equal(tokenOf('https://example.org/r/x#token=a.b%2Ec'), 'a.b.c');
  assert.deepEqual(readToken(claims({ name: 'Zoë', video: { roomAdmin: true } })), { role: 'host', name: 'Zoë' });
  assert.deepEqual(readToken(claims({ role: 'cohost', video: { roomAdmin: true } })), { role: 'cohost', name: '' });
  assert.deepEqual(readToken(claims({ video: { canPublish: true } })), { role: 'speaker', name: '' });
  assert.deepEqual(readToken(claims({})), { role: 'listener', name: '' });
  for (const bad of ['', 'a', 'a.!.c', 'a.e30']) assert.ok(readToken(bad) === null || readToken(bad)?.role === 'listener', bad);
});

test('texts are cut between characters, by their bytes', () => {
  assert.equal(cut('  hello ', 200), 'hello');
  assert.equal(cut('ééé', 5), 'éé');
  assert.equal(cut('a😀', 4), 'a');
});

test('initials are of the first and the last word', () => {
  for (const [name, letters] of [['Ada Lovelace', 'AL'], ['cleo', 'C'], ['Jean-Luc Picard', 'JP'], ['😀 x', '😀X'], ['', '']]) assert.equal(initials(name), letters);
});

test('rings follow the level, and stay in bounds', () => {
  assert.equal(loudness(127), 0);
  assert.equal(loudness(0), 1);
  assert.ok(loudness(30) > loudness(45));
});

test('the stage is in the order of rank, then of coming', () => {
  const shown = people([bob, cleo, ada], '1');
  assert.deepEqual(shown.map(({ name }) => name), ['Ada', 'Cleo', 'Bob']);
  assert.deepEqual(shown.map(({ isSelf }) => isSelf), [true, false, false]);
  assert.deepEqual(shown[1].marks, ['muted']);
  assert.equal(hostOf([bob, ada]), 'Ada');
  assert.equal(hostOf([]), '');
});

test('only what one may is offered, and what fits', () => {
  const may = ['invite', 'ask_mute', 'silence', 'remove_from_stage', 'set_role', 'hand_over', 'kick', 'ban'];
  assert.deepEqual(deedsFor(may, bob), ['ask_mute', 'silence', 'remove_from_stage', 'set_role', 'hand_over', 'kick', 'ban']);
  assert.deepEqual(deedsFor(may, { ...bob, silenced: true }).slice(0, 2), ['ask_mute', 'unsilence']);
  assert.deepEqual(deedsFor(may, { participant: '9', name: 'Eve' }), ['invite', 'set_role', 'kick', 'ban']);
  assert.deepEqual(deedsFor(['silence'], bob), ['silence']);
  assert.deepEqual(deedsFor([], bob), []);
});

test('a text names somebody as on the command line', () => {
  assert.deepEqual(targetOf('bob', [ada, bob]), { participant: bob.participant });
  assert.deepEqual(targetOf('787608e2d2f174ec', []), { participant: '8680135102097880300' });
  assert.deepEqual(targetOf('sub:zoe', []), { subject: 'zoe' });
  assert.deepEqual(targetOf('zoe@example.org', []), { subject: 'zoe@example.org' });
  assert.deepEqual(targetOf('192.0.2.7', []), { address: '192.0.2.7' });
  assert.deepEqual(targetOf('2001:db8::1', []), { address: '2001:db8::1' });
  assert.deepEqual(targetOf('Bob', [bob, { ...ada, name: 'Bob' }]), { subject: 'Bob' });
});

test('changes of the stage are told', async () => {
  await speak('en');
  assert.deepEqual(stageNews([], [ada]), ['Ada is on the stage (host).']);
  assert.deepEqual(stageNews([ada, bob], [ada]), ['Bob left the stage.']);
  assert.deepEqual(stageNews([ada, bob], [ada, { ...bob, silenced: true, role: 'cohost' }]), ['Bob is cohost now.', 'Bob is silenced.']);
  assert.deepEqual(stageNews([{ ...bob, away: true }], [bob]), ['Bob is back.']);
  assert.deepEqual(stageNews([bob], [{ ...bob, muted: true }]), []);
});

test('changes of one\'s own place are told', async () => {
  await speak('en');
  const before = { role: 'listener' };
  assert.deepEqual(ownNews(before, { role: 'listener', hand: 3 }), ['Your hand is up, number 3 in the queue.']);
  assert.deepEqual(ownNews({ ...before, hand: 3 }, { role: 'listener', reason: 'no time' }), ['Your hand is down. Reason: no time']);
  assert.deepEqual(ownNews({ ...before, hand: 1 }, { role: 'speaker', track: 9 }), ['You are speaker now.', 'Your hand is down.']);
  assert.deepEqual(ownNews(before, { role: 'listener', invited_by: 'Ada' }), ['Ada invites you to speak.']);
  assert.deepEqual(ownNews({ ...before, invited_by: 'Ada' }, before), ['The invitation to speak is over.']);
});

test('a decision says who, what, until when and why, and whether it can be appealed', async () => {
  await speak('en');
  const ban = { action: 'banned', by: 'Ada', reason: 'spam', entry: 12, until_s: 1_800_000_000 };
  assert.match(decision(ban), /^Ada banned you from the room until Friday, January 15 .+\. Reason: spam$/);
  assert.equal(decision({ action: 'kicked', entry: 3 }), 'the relay removed you from the room.');
  assert.equal(decision({ action: 'of a later version', by: 'Ada', entry: 3 }), 'Ada decided something.');
  assert.ok(canAppeal(ban));
  assert.ok(!canAppeal({ ...ban, entry: 0 }));
  assert.ok(!canAppeal({ action: 'hand_granted', entry: 4 }));
  assert.equal(entryIn('… It is entry 6 of the room\'s log, …'), 6);
  assert.equal(entryIn('no number'), 0);
});

test('an entry of the log is a line', async () => {
  await speak('en');
  const entry = {
    number: 17, at_ms: 1_795_378_503_000, actor: { name: 'Ada', role: 'host' }, action: 'banned',
    target: { name: 'Bob', role: 'speaker' }, duration_s: 3600, reason: 'insults',
  };
  assert.equal(logLine(entry).text, 'Ada (host) banned Bob (speaker) for 1 hr: insults');
  assert.equal(logLine({ ...entry, actor: {}, action: 'ban_ran_out', duration_s: undefined, reason: '' }).text, 'the relay let the ban of Bob (speaker) run out');
  assert.equal(logLine({ number: 2, at_ms: 1, actor: { subject: 'bob' }, action: 'appealed', about: 1, reason: 'why' }).text, 'bob appealed against #1: why');
});

test('who waits looks more often the nearer the beginning is', () => {
  const wait = (info) => lookAgain(info, 1000, 0.5);
  assert.equal(wait({ phase: 'announced', settings: { starts_s: 10_000 } }), 60_000);
  assert.equal(wait({ phase: 'announced', settings: { starts_s: 3000 } }), 20_000);
  assert.equal(wait({ phase: 'announced', settings: { starts_s: 1300 } }), 15_000);
  assert.equal(wait({ phase: 'announced', settings: { starts_s: 900 } }), 5000);
  assert.equal(wait({ phase: 'absent' }), 8000);
  assert.ok(lookAgain({ phase: 'live' }, 1000, 0) < lookAgain({ phase: 'live' }, 1000, 1));
});

test('a removal that was not told is found in the log', () => {
  const log = [
    { number: 4, action: 'kicked', actor: { name: 'Bob' } }, { number: 5, action: 'appealed', about: 4 },
    { number: 6, action: 'banned', actor: { name: 'Ada' }, at_ms: 5000, duration_s: 60, reason: 'spam' }, { number: 7, action: 'silenced' },
  ];
  assert.deepEqual(removalIn(log), { action: 'banned', by: 'Ada', reason: 'spam', entry: 6, until_s: 65 });
  assert.equal(removalIn([]), null);
});

test('appeals are open until they are answered', () => {
  const log = [{ number: 1, action: 'banned' }, { number: 2, action: 'appealed', about: 1 }, { number: 3, action: 'appealed', about: 1 }];
  assert.deepEqual([...openAppeals(log)], [2, 3]);
  assert.deepEqual([...openAppeals([...log, { number: 4, action: 'appeal_upheld', about: 2 }])], [3]);
});

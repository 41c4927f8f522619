// @ts-check
// The ear: voices of all tracks, mixed on the audio thread.
import { JitterBuffer, Voice, limit } from './jitter.js';

/** As many as a stage holds. */
const MAX_VOICES = 32;
/** A voice that has said nothing for so long is let go: 30 s, in seconds. */
const IDLE_S = 30;

/** @typedef {{track: number, place: number, inMs: number, delayMs: number, level: number, voiced: boolean}} Turn */

class Ear extends AudioWorkletProcessor {
  /** @type {Map<number, {voice: Voice, used: number}>} */
  voices = new Map();
  delay = 0;
  volume = 1;
  said = 0;
  /** Counts of voices that are gone. @type {Record<string, number>} */
  before = {};
  /** @type {MessagePort|null} */
  worker = null;

  constructor() {
    super();
    this.port.onmessage = ({ data }) => {
      if (data.volume !== undefined) this.volume = data.volume;
      if (!data.port) return;
      this.worker = data.port;
      data.port.onmessage = (/** @type {MessageEvent} */ event) => this.#handle(event.data);
    };
  }

  /** @param {any} message of the worker */
  #handle({ sound, late, track, delay, forget }) {
    if (delay !== undefined && delay !== this.delay) {
      this.delay = delay;
      for (const { voice } of this.voices.values()) voice.buffer.delay.set(delay);
    }
    if (forget !== undefined) this.#drop(forget);
    if (late) this.voices.get(track)?.voice.buffer.delay.record(late.at - late.place * 20);
    if (!sound) return;
    let entry = this.voices.get(track);
    if (!entry) {
      if (this.voices.size >= MAX_VOICES) return;
      entry = { voice: new Voice(new JitterBuffer(this.delay), sampleRate), used: 0 };
      this.voices.set(track, entry);
    }
    const { voice } = entry;
    entry.used = currentTime;
    const wasEmpty = voice.buffer.state === 'empty';
    voice.buffer.push(sound, voice.pending);
    if (wasEmpty) this.worker?.postMessage({ turns: [this.#turn(track, voice)] });
  }

  /** @param {number} track */
  #drop(track) {
    const counts = this.voices.get(track)?.voice.buffer.counts ?? {};
    for (const [name, count] of Object.entries(counts)) this.before[name] = (this.before[name] ?? 0) + count;
    this.voices.delete(track);
  }

  /** @param {number} track @param {Voice} voice @returns {Turn} */
  #turn(track, { buffer, pending }) {
    const { next, wait, measured, heard } = buffer;
    const inMs = (pending + (buffer.state === 'waiting' ? wait : 0)) / 48;
    return { track, place: buffer.state === 'empty' ? -1 : next, inMs, delayMs: measured, level: heard?.level ?? 127, voiced: heard?.voiced ?? false };
  }

  /** @param {Float32Array[][]} _ @param {Float32Array[][]} outputs */
  process(_, outputs) {
    const out = outputs[0][0];
    for (const [track, { voice, used }] of this.voices) {
      const before = voice.buffer.heard;
      voice.mix(out);
      const { heard } = voice.buffer;
      if (heard && heard !== before && heard.captured !== null) {
        this.worker?.postMessage({ played: { captured: heard.captured, error: heard.error, inMs: voice.pending / 48 - 20 } });
      }
      if (currentTime - used > IDLE_S) this.#drop(track);
    }
    for (let i = 0; i < out.length; i++) out[i] = limit(out[i] * this.volume);
    if (currentTime - this.said >= 0.1) this.#say();
    return true;
  }

  #say() {
    this.said = currentTime;
    const turns = [];
    /** @type {Record<string, number>} */
    const counts = { ...this.before };
    let [buffered, target] = [0, 0];
    for (const [track, { voice }] of this.voices) {
      turns.push(this.#turn(track, voice));
      for (const [name, count] of Object.entries(voice.buffer.counts)) counts[name] = (counts[name] ?? 0) + count;
      if (voice.buffer.state === 'empty') continue;
      buffered = Math.max(buffered, voice.buffer.measured);
      target = Math.max(target, voice.buffer.delay.target);
    }
    this.worker?.postMessage({ turns, counts, bufferMs: buffered, targetMs: target });
  }
}

registerProcessor('tribune-ear', Ear);

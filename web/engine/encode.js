// @ts-check
// The own microphone: samples to frames of Opus, in talkspurts.
import { SILENT, Talkspurts, levelOf } from './voice.js';

const BITRATE = 32_000;
/** Frames inside the encoder; more, and it hangs. */
const MAX_INSIDE = 25;
/** The microphone stood still for longer than this: the media clock goes on by the wall clock, ms. */
const STALL = 200;
/** Digital silence for so many frames in a row is a microphone that is switched off somewhere: 3 s. */
const DEAD = 150;
/** How far the capture time can be from the truth: the way from the microphone to here, µs. */
const CAPTURE_ERROR_US = 20_000;

/** @param {number} lossPercent 0: speech is not protected @returns {any} */
function config(lossPercent) {
  return {
    codec: 'opus', sampleRate: 48_000, numberOfChannels: 1, bitrate: BITRATE,
    opus: {
      frameDuration: 20_000, application: 'voip', signal: 'voice', complexity: 5, usedtx: false,
      useinbandfec: lossPercent > 0, packetlossperc: lossPercent,
    },
  };
}

/** @typedef {{seq: number, level: number, voiced: boolean, end: boolean, captured: number, error: number}} Head */

export class Encoding {
  /** @type {AudioEncoder|null} */
  encoder = null;
  /** What is being encoded, oldest first. @type {Head[]} */
  inside = [];
  talkspurts = new Talkspurts();
  seq = Math.floor(Math.random() * 65536);
  count = 0;
  lastAt = 0;
  dead = 0;
  open = true;
  lossPercent = 0;
  level = SILENT;

  /**
   * @param {(spoken: import('./speaking.js').Spoken) => void} output
   * @param {(kind: string) => void} notice `mic_silent`, `mic_back`, `no_encoder`
   */
  constructor(output, notice) {
    this.output = output;
    this.notice = notice;
  }

  /** @param {number} lossPercent that speech is to be protected against */
  protect(lossPercent) {
    this.lossPercent = lossPercent;
    if (this.encoder?.state === 'configured') this.encoder.configure(config(lossPercent));
  }

  /** @param {number} now ms @param {number} localUs @param {Float32Array<ArrayBuffer>} pcm 960 samples at 48 kHz */
  push(now, localUs, pcm) {
    const stood = this.lastAt ? now - this.lastAt : 0;
    this.lastAt = now;
    const periods = stood > STALL ? Math.round(stood / 20) : 1;
    this.seq = this.seq + periods & 0xffff;
    this.level = levelOf(pcm);
    this.#watch();
    const { send, voiced, end } = this.talkspurts.handleFrame(this.level, this.open);
    if (!send) return;
    const captured = Math.round(localUs - 20_000);
    // A microphone that has been closed is not heard in the frame that ends its talkspurt either.
    if (!this.open) pcm.fill(0);
    this.#encode(pcm, { seq: this.seq, level: this.open ? this.level : SILENT, voiced, end, captured, error: CAPTURE_ERROR_US });
  }

  #watch() {
    const was = this.dead >= DEAD;
    this.dead = this.level === SILENT ? this.dead + 1 : 0;
    if (this.dead === DEAD) this.notice('mic_silent');
    else if (was && this.dead === 0) this.notice('mic_back');
  }

  /** @param {Float32Array<ArrayBuffer>} pcm @param {Head} head */
  #encode(pcm, head) {
    if (this.inside.length >= MAX_INSIDE || this.encoder?.state === 'closed') this.close();
    try {
      this.encoder ??= this.#open();
      const data = new AudioData({
        format: 'f32-planar', sampleRate: 48_000, numberOfChannels: 1, numberOfFrames: pcm.length,
        timestamp: this.count++ * 20_000, data: pcm,
      });
      this.inside.push(head);
      this.encoder.encode(data);
      data.close();
    } catch {
      this.close();
      this.notice('no_encoder');
    }
  }

  #open() {
    /** @type {AudioEncoder} */
    const encoder = new AudioEncoder({
      output: (chunk) => {
        const head = encoder === this.encoder ? this.inside.shift() : undefined;
        if (!head) return;
        const opus = new Uint8Array(chunk.byteLength);
        chunk.copyTo(opus);
        this.output({ ...head, opus });
      },
      error: () => encoder === this.encoder && this.close(),
    });
    encoder.configure(config(this.lossPercent));
    return encoder;
  }

  /** The microphone is gone: what it said last is sent, and that silence follows. */
  stop() {
    const { encoder, talkspurts } = this;
    const wasTalking = talkspurts.talking;
    this.talkspurts = new Talkspurts();
    this.lastAt = 0;
    const end = () => {
      this.close();
      this.seq = this.seq + 1 & 0xffff;
      const mark = { seq: this.seq, level: SILENT, voiced: false, end: true, captured: 0, error: 0 };
      if (wasTalking) this.output({ ...mark, opus: new Uint8Array(0) });
    };
    if (encoder?.state === 'configured') encoder.flush().then(end, end);
    else end();
  }

  close() {
    if (this.encoder && this.encoder.state !== 'closed') this.encoder.close();
    this.encoder = null;
    this.inside = [];
  }
}

// @ts-check
// Voice activity and talkspurts of the own microphone (RFC 6464; SPEC 5.2). Pure.

/** Level of digital silence. */
export const SILENT = 127;
/** What is this loud is sound, whatever the noise of the room. */
const LOUD = 36;
/** What is this quiet is under the noise of a quiet room. */
const QUIET = 60;
/** A room is no quieter. */
const QUIETEST = 80;
/** Above the noise of the room, in dB. */
const ABOVE = 9;
/** Frames that a talkspurt outlasts the voice: pauses between words are short. */
const HANGOVER = 15;
/** The noise is taken to have risen by so many dB a frame, until something quieter is heard: 2 dB a second. */
const RISE = 0.04;

/** @param {Float32Array} pcm @returns {number} −dBov, 0 to 127 */
export function levelOf(pcm) {
  let energy = 0;
  for (const sample of pcm) energy += sample * sample;
  const level = Math.round(-10 * Math.log10(energy / pcm.length));
  return Math.min(Math.max(level, 0), SILENT) || (energy ? 0 : SILENT);
}

export class Talkspurts {
  /** Noise of the room, −dBov. */
  noise = 70;
  hangover = 0;
  talking = false;

  /**
   * @param {number} level −dBov @param {boolean} open whether the microphone is to be heard
   * @returns {{send: boolean, voiced: boolean, end: boolean}} the first frame of a silence is sent, and says so
   */
  handleFrame(level, open) {
    this.noise = Math.max(Math.min(level, QUIETEST), this.noise - RISE);
    const voiced = open && (level <= LOUD || level < Math.min(this.noise - ABOVE, QUIET));
    this.hangover = voiced ? HANGOVER : open ? Math.max(0, this.hangover - 1) : 0;
    const sound = voiced || this.hangover > 0;
    const end = this.talking && !sound;
    this.talking = sound;
    return { send: sound || end, voiced, end };
  }
}

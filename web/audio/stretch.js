// @ts-check
// Sound made up, left out and repeated, by whole periods of its pitch. Pure; 48 kHz, mono.

/** Periods of pitch that are looked for: 2.5 to 15 ms, 400 to 67 Hz. */
const LAG_MIN = 120;
const LAG_MAX = 720;
const FADE = 240;
/** Sound that is made up is gone after 100 ms: longer it is no longer taken for speech. */
const CONCEAL = 4800;
const HISTORY = LAG_MAX + FADE;

/** @param {Float32Array} a @param {number} i @param {number} j @returns {number} likeness of two stretches of 5 ms, −1 to 1 */
function likeness(a, i, j) {
  let [both, first, second] = [0, 1e-9, 1e-9];
  for (let n = 0; n < FADE; n += 2) {
    both += a[i + n] * a[j + n];
    first += a[i + n] ** 2;
    second += a[j + n] ** 2;
  }
  return both / Math.sqrt(first * second);
}

/** @param {Float32Array} a @param {number} i @param {number} from @param {number} to @returns {number} the distance at which it is most like itself at `i` */
function bestLag(a, i, from, to) {
  let [best, most] = [from, -2];
  for (let lag = from; lag <= to; lag += 2) {
    const like = likeness(a, i, i + lag);
    if (like > most + 1e-3) [best, most] = [lag, like];
  }
  return best;
}

/** Shorter by 5 to 15 ms. @param {Float32Array} pcm 1,920 samples */
export function shorten(pcm) {
  const lag = bestLag(pcm, 0, 240, LAG_MAX);
  const out = pcm.slice(lag);
  for (let n = 0; n < FADE; n++) out[n] = pcm[n] + (pcm[n + lag] - pcm[n]) * n / FADE;
  return out;
}

/** Longer by 5 to 15 ms. @param {Float32Array} pcm 960 samples */
export function lengthen(pcm) {
  const lag = bestLag(pcm, 0, 240, LAG_MAX);
  const out = new Float32Array(pcm.length + lag);
  out.set(pcm);
  out.set(pcm, lag);
  for (let n = 0; n < FADE; n++) out[lag + n] = pcm[lag + n] + (pcm[n] - pcm[lag + n]) * n / FADE;
  return out;
}

/** What has been heard last, and its continuation where nothing has come. */
export class Conceal {
  history = new Float32Array(HISTORY);
  /** The period that is repeated. */
  period = new Float32Array(1);
  /** Samples made up in a row; −1: what is heard has come. */
  made = 0;
  gain = 0;
  slope = 0;

  /** Sound that was heard. It goes over from what was made up before. @param {Float32Array} pcm is changed */
  join(pcm) {
    if (this.made >= 0) {
      const before = this.continue(FADE);
      for (let n = 0; n < FADE; n++) pcm[n] = before[n] + (pcm[n] - before[n]) * n / FADE;
    }
    this.#remember(pcm);
    this.made = -1;
    return pcm;
  }

  /** @param {number} count samples @returns {Float32Array} */
  continue(count) {
    const out = new Float32Array(count);
    if (this.made < 0) this.#begin();
    for (let n = 0; n < count && this.gain > 0; n++) {
      out[n] = this.gain * this.period[this.made++ % this.period.length];
      this.gain -= this.slope;
    }
    return out;
  }

  #begin() {
    const lag = bestLag(this.history.slice().reverse(), 0, LAG_MIN, LAG_MAX);
    this.period = this.history.slice(-lag);
    this.made = 0;
    this.gain = 1;
    this.slope = 1 / CONCEAL;
  }

  /** A silence begins: what was heard ends within 5 ms. */
  end() {
    if (this.made < 0) this.#begin();
    this.slope = Math.max(this.gain / FADE, 1e-9);
  }

  /** @param {Float32Array} pcm */
  #remember(pcm) {
    const { history } = this;
    history.copyWithin(0, Math.min(pcm.length, HISTORY));
    history.set(pcm.subarray(Math.max(0, pcm.length - HISTORY)), HISTORY - Math.min(pcm.length, HISTORY));
  }
}

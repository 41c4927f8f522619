// @ts-check
// The mouth: what the microphone gives, in frames of 20 ms at 48 kHz.
import { Blocks } from './blocks.js';

class Mouth extends AudioWorkletProcessor {
  blocks = new Blocks(sampleRate);
  /** @type {MessagePort|null} */
  worker = null;
  over = false;

  constructor() {
    super();
    this.port.onmessage = ({ data }) => {
      if (data.port) this.worker = data.port;
      this.over = data.over ?? false;
    };
  }

  /** @param {Float32Array[][]} inputs */
  process([input]) {
    if (input[0]) this.blocks.push(input[0], (pcm) => this.worker?.postMessage({ pcm }, [pcm.buffer]));
    return !this.over;
  }
}

registerProcessor('tribune-mouth', Mouth);

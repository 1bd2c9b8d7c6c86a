// Sound card and page: what is captured comes as blocks, what is to be played goes into a ring.
//
// Both run in the audio thread, which gives and takes 128 samples at a time.

class Capture extends AudioWorkletProcessor {
  #block;
  #filled = 0;

  constructor({ processorOptions: { size } }) {
    super();
    this.#block = new Float32Array(size);
  }

  process([[samples]]) {
    if (!samples) return true; // nothing is connected yet
    for (let place = 0; place < samples.length; ) {
      const part = samples.subarray(place, place + this.#block.length - this.#filled);
      this.#block.set(part, this.#filled);
      this.#filled += part.length;
      place += part.length;
      if (this.#filled < this.#block.length) break;
      const size = this.#block.length;
      this.port.postMessage(this.#block, [this.#block.buffer]);
      this.#block = new Float32Array(size);
      this.#filled = 0;
    }
    return true;
  }
}

/** Silence until `ahead` samples wait; then what is in the ring. When it is empty, that again. */
class Playback extends AudioWorkletProcessor {
  #ring;
  #read = 0;
  #waiting = 0;
  #ahead;
  #playing = false;
  #state = { dropouts: 0, skipped: 0 };
  #untilReport = 0;

  constructor({ processorOptions: { size, ahead } }) {
    super();
    this.#ring = new Float32Array(size);
    this.#ahead = ahead;
    this.port.onmessage = ({ data }) => this.#put(data);
  }

  #put(samples) {
    const size = this.#ring.length;
    for (let i = 0; i < samples.length; i++) {
      this.#ring[(this.#read + this.#waiting + i) % size] = samples[i];
    }
    this.#waiting += samples.length;
    if (this.#waiting > size) this.#skip(this.#waiting - size); // written over already
    if (this.#waiting >= this.#ahead) this.#playing = true;
  }

  #skip(count) {
    this.#read = (this.#read + count) % this.#ring.length;
    this.#waiting -= count;
    this.#state.skipped += count;
  }

  process(_, [[samples]]) {
    const count = this.#playing ? Math.min(samples.length, this.#waiting) : 0;
    for (let i = 0; i < count; i++) {
      samples[i] = this.#ring[(this.#read + i) % this.#ring.length];
    }
    this.#read = (this.#read + count) % this.#ring.length;
    this.#waiting -= count;
    if (this.#playing && count < samples.length) {
      this.#playing = false;
      this.#state.dropouts += 1;
    }
    this.#untilReport -= samples.length;
    if (this.#untilReport <= 0) {
      this.#untilReport = sampleRate / 10;
      this.port.postMessage({ ...this.#state, waiting: this.#waiting });
    }
    return true;
  }
}

registerProcessor("capture", Capture);
registerProcessor("playback", Playback);

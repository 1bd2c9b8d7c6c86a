// Microphone and loudspeaker, and what goes from one to the other while it is said.

import { joined } from "./codec.js";

const KEPT_SECONDS = 60; // of what was said live, to look at afterwards
const LATE_SECONDS = 1; // behind the microphone: then it has no sense to go on
const RING_SECONDS = 1;
const AHEAD_BLOCKS = 2; // that wait before playing begins, against uneven steps

const REASONS = {
  NotAllowedError: "The microphone was not allowed: this can be changed in the browser's settings.",
  NotFoundError: "There is no microphone.",
  NotReadableError: "The microphone is in use by another program.",
};

/** A microphone that gives blocks of `size` samples, at `rate` if the browser can, else its own. */
export async function openMicrophone(rate, size) {
  if (!navigator.mediaDevices || !window.AudioWorkletNode) {
    throw Error("The browser gives the microphone only to pages from http://localhost or https.");
  }
  const plain = { echoCancellation: false, noiseSuppression: false, autoGainControl: false };
  let stream;
  try {
    stream = await navigator.mediaDevices.getUserMedia({ audio: { ...plain, channelCount: 1 } });
  } catch (error) {
    throw Error(REASONS[error.name] ?? `The microphone could not be opened: ${error.message}`);
  }
  const microphone = new Microphone(stream);
  try {
    try {
      await microphone.connect(rate, size);
    } catch (error) {
      if (error.name !== "NotSupportedError") throw error;
      await microphone.connect(undefined, size); // Firefox captures at the sound card's rate alone
    }
  } catch (error) {
    microphone.close();
    throw Error(`The microphone could not be opened: ${error.message}`);
  }
  return microphone;
}

class Microphone {
  #stream;
  #context;
  /** Called with each block. */
  onblock = () => {};

  constructor(stream) {
    this.#stream = stream;
  }

  get rate() {
    return this.#context.sampleRate;
  }

  async connect(rate, size) {
    await this.#context?.close();
    this.#context = new AudioContext({ sampleRate: rate, latencyHint: "interactive" });
    await this.#context.audioWorklet.addModule(new URL("./worklets.js", import.meta.url));
    const source = this.#context.createMediaStreamSource(this.#stream);
    const capture = this.#node("capture", { numberOfOutputs: 1, processorOptions: { size } });
    capture.port.onmessage = ({ data }) => this.onblock(data);
    source.connect(capture).connect(this.#context.destination); // of silence: else it is not run
    await this.#context.resume();
  }

  /** What plays the samples that are posted to it, and tells how things stand. */
  loudspeaker(ahead, told) {
    const size = Math.ceil(RING_SECONDS * this.rate);
    const playback = this.#node("playback", { numberOfInputs: 0, processorOptions: { size, ahead } });
    playback.port.onmessage = ({ data }) => told(data);
    playback.connect(this.#context.destination);
    return (samples) => playback.port.postMessage(samples, [samples.buffer]);
  }

  close() {
    this.onblock = () => {};
    for (const track of this.#stream.getTracks()) track.stop();
    this.#context?.close();
  }

  #node(name, options) {
    return new AudioWorkletNode(this.#context, name, { outputChannelCount: [1], channelCount: 1, ...options });
  }
}

/** The microphone through the codec to the loudspeaker, until `stop`, or until it falls behind. */
export class Live {
  #codec;
  #microphone;
  #show;
  #play;
  #blockSeconds;
  #pending = 0;
  #coded = { seconds: 0, blocks: 0 };
  #kept = { said: [], heard: [], tokens: [] };
  /** Settles with the real-time factor when coding is too far behind; rejects when it fails. */
  late;
  #fallBehind;
  #fail;

  constructor(codec, facts, microphone, show) {
    const { block } = facts.programs.encoder_step;
    this.#codec = codec;
    this.#microphone = microphone;
    this.#show = show;
    this.#blockSeconds = block / facts.frame_rate;
    this.late = new Promise((resolve, reject) => {
      this.#fallBehind = resolve;
      this.#fail = reject;
    });
    this.#play = microphone.loudspeaker(AHEAD_BLOCKS * block * facts.hop_length, (state) =>
      this.#show({ ...state, factor: this.factor }),
    );
  }

  get factor() {
    return this.#coded.seconds / (this.#coded.blocks * this.#blockSeconds);
  }

  async start() {
    await this.#codec.ask("begin");
    this.#microphone.onblock = (samples) => this.#code(samples).catch(this.#fail);
  }

  async #code(samples) {
    this.#show({ said: level(samples) });
    if (++this.#pending * this.#blockSeconds > LATE_SECONDS) this.#fallBehind(this.factor);
    const found = await this.#codec.ask("block", { samples });
    this.#pending -= 1;
    this.#coded.seconds += found.seconds;
    this.#coded.blocks += 1;
    if (this.#coded.blocks * this.#blockSeconds < KEPT_SECONDS) {
      this.#kept.said.push(samples);
      this.#kept.heard.push(found.audio.slice());
      this.#kept.tokens.push(found.tokens);
    }
    this.#show({ heard: level(found.audio) });
    if (found.audio.length) this.#play(found.audio);
  }

  /** What was said and what came of it, as of a file; null before anything came. */
  stop() {
    this.#microphone.onblock = this.#show = () => {};
    const { said, heard, tokens } = this.#kept;
    if (!heard.some((part) => part.length)) return null;
    const decoded = joined(heard);
    const seconds = this.factor * said.length * this.#blockSeconds;
    return { samples: joined(said).subarray(0, decoded.length), audio: decoded, tokens: joined(tokens), seconds };
  }
}

/** What the microphone gives, until `stop`; `full` settles when it is as long as it may be. */
export class Recording {
  #microphone;
  #parts = [];
  full;

  constructor(microphone, seconds, show) {
    this.#microphone = microphone;
    let length = 0;
    this.full = new Promise((resolve) => {
      microphone.onblock = (samples) => {
        if (length >= seconds * microphone.rate) return;
        this.#parts.push(samples);
        length += samples.length;
        show({ said: level(samples), recorded: length / microphone.rate });
        if (length >= seconds * microphone.rate) resolve();
      };
    });
  }

  /** The samples, at the microphone's rate. */
  stop() {
    this.#microphone.onblock = () => {};
    return { rate: this.#microphone.rate, samples: this.#parts.length ? joined(this.#parts) : null };
  }
}

/** Root mean square in dB of full scale. */
function level(samples) {
  let sum = 0;
  for (const sample of samples) sum += sample * sample;
  return 10 * Math.log10(sum / Math.max(1, samples.length) + 1e-12);
}

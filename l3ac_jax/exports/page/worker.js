// The codec beside the page: it answers each request, in their order, with one message of its `id`.

import * as ort from "./onnxruntime/ort.js";
import { Coder, joined, loadCodec } from "./codec.js";

const PART_SECONDS = 0.5; // of audio, between two reports of progress
const TRIAL_STEPS = 12;

// One thread: of programs as small as these, two took longer (docs/browser.md).
ort.env.wasm.numThreads = 1;
ort.env.wasm.wasmPaths = {
  mjs: new URL("./onnxruntime/ort-wasm.js", import.meta.url).href,
  wasm: new URL("./onnxruntime/ort-wasm.wasm", import.meta.url).href,
};

let codec; // what is loaded
let live; // the Coder of the microphone
let stopped = false;

const answers = {
  async load() {
    codec = await loadCodec(ort, async (name) => {
      const answer = await fetch(new URL(`./codec/${name}`, import.meta.url));
      if (!answer.ok) throw Error(`codec/${name} could not be loaded (HTTP ${answer.status})`);
      return answer.arrayBuffer();
    });
    return { facts: codec.facts };
  },

  /** A whole clip. Seconds are those of computing. */
  async code({ samples }, report) {
    stopped = false;
    const coder = new Coder(codec);
    const part = Math.ceil(PART_SECONDS * codec.facts.sample_rate);
    const found = [];
    const start = performance.now();
    for (let place = 0; place < samples.length; place += part) {
      found.push(await coder.push(samples.subarray(place, place + part)));
      report(Math.min(1, (place + part) / samples.length));
      await messages();
      if (stopped) return { stopped };
    }
    found.push(await coder.finish());
    const [tokens, audio] = ["tokens", "audio"].map((name) => joined(found.map((one) => one[name])));
    return { tokens, audio, seconds: (performance.now() - start) / 1000 };
  },

  /** Seconds of computing for a second of audio: the median of some steps. */
  async trial() {
    const { hop_length: hop, frame_rate: rate, programs } = codec.facts;
    const block = programs.encoder_step.block;
    const coder = new Coder(codec);
    const noise = Float32Array.from({ length: block * hop }, () => Math.random() - 0.5);
    const times = [];
    for (let step = 0; step < TRIAL_STEPS; step++) {
      const start = performance.now();
      await coder.push(noise);
      times.push(performance.now() - start);
    }
    times.splice(0, 2); // the first steps take longer
    return { factor: (times.sort((a, b) => a - b)[times.length >> 1] * rate) / (1000 * block) };
  },

  async begin() {
    live = new Coder(codec);
    return {};
  },

  /** What the microphone gave, of any length. */
  async block({ samples }) {
    const start = performance.now();
    const { tokens, audio } = await live.push(samples);
    return { tokens, audio, seconds: (performance.now() - start) / 1000 };
  },
};

/** Let messages in that came while steps were computed, which never give way to them. */
function messages() {
  return new Promise((done) => {
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = () => {
      port1.close();
      done();
    };
    port2.postMessage(null);
  });
}

async function answer({ id, request, ...given }) {
  try {
    const report = (progress) => postMessage({ id, progress });
    postMessage({ id, answer: await answers[request](given, report) });
  } catch (error) {
    postMessage({ id, error: String(error?.message ?? error) });
  }
}

let last = Promise.resolve();
onmessage = ({ data }) => {
  if (data.request === "stop") stopped = true;
  else last = last.then(() => answer(data));
};

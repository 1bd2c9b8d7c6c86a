// A codec's streaming steps: samples to tokens and tokens to samples, a block at a time.
//
// Nothing here is of browsers: `ort` is onnxruntime-web, `read(name)` gives the bytes of a file of the
// folder that the programs are in. How steps are called is written in docs/exports.md.

const ARRAYS = { float32: Float32Array, int32: Int32Array, bool: Uint8Array };

/** What codec.json says, and the steps of both directions. */
export async function loadCodec(ort, read) {
  const facts = JSON.parse(new TextDecoder().decode(await read("codec.json")));
  const names = ["encoder_step", "decoder_step"];
  const [states, ...files] = await Promise.all(
    ["states.safetensors", ...names.map((name) => facts.programs[name].file)].map(read),
  );
  const first = tensors(states);
  const steps = [];
  for (const [i, name] of names.entries()) {
    const session = await ort.InferenceSession.create(new Uint8Array(files[i]));
    steps.push(new Step(ort, session, facts.programs[name], (part) => first(`${name}.${part}`)));
  }
  return { facts, encoder: steps[0], decoder: steps[1] };
}

/** By how many samples what comes out is behind what goes in, in whole blocks as they are computed. */
export function latencySamples({ hop_length: hop, programs }) {
  const { block, lag_tokens: late } = programs.encoder_step;
  // The decoder takes its block with the one of the encoder's that completes it.
  return block * hop * (1 + Math.ceil(late / block)) - 1 + programs.decoder_step.lag_samples;
}

/** A clip on its way through encoder and decoder. */
export class Coder {
  #encoder;
  #decoder;
  #hop;
  #pushed = 0;
  #given = 0;

  constructor({ facts, encoder, decoder }) {
    this.#hop = facts.hop_length;
    this.#encoder = new Stream(encoder);
    this.#decoder = new Stream(decoder);
  }

  /** The tokens and the samples that these samples make known. */
  async push(samples) {
    this.#pushed += samples.length;
    return this.#decoded(await this.#encoder.push(samples));
  }

  /** The rest: as many samples come out as went in. */
  async finish() {
    const count = Math.ceil(this.#pushed / this.#hop);
    const missing = new Float32Array(count * this.#hop - this.#pushed); // to whole hops
    const parts = [await this.#encoder.push(missing), await this.#encoder.finish(count)];
    const last = await this.#decoded(joined(parts));
    const rest = this.#cut(await this.#decoder.finish(count * this.#hop));
    return { tokens: last.tokens, audio: joined([last.audio, rest]) };
  }

  async #decoded(tokens) {
    return { tokens, audio: this.#cut(await this.#decoder.push(tokens)) };
  }

  #cut(audio) {
    const kept = audio.subarray(0, this.#pushed - this.#given);
    this.#given += kept.length;
    return kept;
  }
}

/** Arrays of one type, one behind the other. */
export function joined(parts) {
  const all = new parts[0].constructor(parts.reduce((length, part) => length + part.length, 0));
  let place = 0;
  for (const part of parts) {
    all.set(part, place);
    place += part.length;
  }
  return all;
}

/** A program of one block, as the pure function that it is. */
class Step {
  #ort;
  #session;
  #program;

  constructor(ort, session, program, first) {
    const [given] = program.inputs;
    this.#ort = ort;
    this.#session = session;
    this.#program = program;
    this.size = given.shape[1]; // values of a block
    this.lag = program.lag_tokens ?? program.lag_samples; // the first outputs, which are none
    this.Values = ARRAYS[given.dtype];
    this.Outputs = "lag_tokens" in program ? Int32Array : Float32Array;
    /** What a clip begins with. */
    this.start = program.state.map(
      ({ name, dtype, shape }) => new ort.Tensor(dtype, new ARRAYS[dtype](first(name)), shape),
    );
  }

  /** The outputs and the next state; `real` values of the block are the clip's. */
  async run(values, real, state) {
    const { inputs, outputs, state: parts } = this.#program;
    const marks = new Uint8Array(this.size).fill(1, 0, real);
    const given = [values, marks].map(
      (array, i) => new this.#ort.Tensor(inputs[i].dtype, array, inputs[i].shape),
    );
    const feeds = { [inputs[0].name]: given[0], [inputs[1].name]: given[1] };
    parts.forEach(({ name }, i) => (feeds[name] = state[i]));
    const found = await this.#session.run(feeds);
    return { data: found[outputs[0]].data, state: parts.map(({ next }) => found[next]) };
  }
}

/** Values that are pushed in any numbers, in blocks of one step. */
class Stream {
  #step;
  #state;
  #block;
  #filled = 0;
  #late;
  #given = 0;

  constructor(step) {
    this.#step = step;
    this.#state = step.start;
    this.#late = step.lag;
    this.#block = new step.Values(step.size);
  }

  /** The outputs that these values make known. */
  async push(values) {
    const parts = [this.#none()];
    for (let place = 0; place < values.length; ) {
      const part = values.subarray(place, place + this.#step.size - this.#filled);
      this.#block.set(part, this.#filled);
      this.#filled += part.length;
      place += part.length;
      if (this.#filled === this.#step.size) parts.push(await this.#run());
    }
    return joined(parts);
  }

  /** The rest of so many outputs in all, after values that are nobody's. */
  async finish(outputs) {
    const parts = [this.#none()];
    while (this.#given < outputs) parts.push(await this.#run());
    const all = joined(parts);
    return all.subarray(0, Math.max(0, all.length - (this.#given - outputs)));
  }

  async #run() {
    const { data, state } = await this.#step.run(this.#block, this.#filled, this.#state);
    this.#state = state;
    this.#block = new this.#step.Values(this.#step.size);
    this.#filled = 0;
    const known = data.subarray(Math.min(this.#late, data.length));
    this.#late -= data.length - known.length;
    this.#given += known.length;
    return known;
  }

  #none() {
    return new this.#step.Outputs(0);
  }
}

/** Bytes of a tensor by its name, of a safetensors file: a header's length, the header, the data. */
function tensors(buffer) {
  const start = 8 + Number(new DataView(buffer).getBigUint64(0, true));
  const header = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 8, start - 8)));
  return (name) => buffer.slice(...header[name].data_offsets.map((place) => start + place));
}

// Decodes an .l3ac file (plain coding) to a WAV file at the codec's rate, without Python:
//
//     python experiments/export.py small small_onnx --format onnx     # once
//     l3ac-jax encode speech.wav speech.l3ac --model small
//     npm install onnxruntime-web
//     node examples/decode.mjs speech.l3ac small_onnx speech_decoded.wav
//
// The format is described byte by byte in l3ac_jax/tokens/bitstream/files.py. Check sums of blocks
// are not looked at. ONNXRUNTIME may name the module of onnxruntime-web where it is not installed.

import { readFileSync, writeFileSync } from "node:fs";
import { pathToFileURL } from "node:url";

const { ONNXRUNTIME } = process.env;
const ort = await import(ONNXRUNTIME ? pathToFileURL(ONNXRUNTIME).href : "onnxruntime-web");

function readTokens(file) {
  if (file.toString("latin1", 0, 4) !== "L3AC") throw Error("is not an .l3ac file");
  if (file[4] !== 1 || file[7] !== 0) throw Error("is of another version, or not coded plain");
  const headerLength = file.readUInt16LE(5);
  const weights = file.toString("hex", 16, 24);
  const [codecRate, hop, rate] = [24, 28, 32].map((place) => file.readUInt32LE(place));
  const samples = Number(file.readBigUInt64LE(36));
  const [channels, blockTokens] = [file.readUInt16LE(44), file.readUInt16LE(46)];
  const levels = Array.from({ length: file[48] }, (_, d) => file.readUInt16LE(49 + 2 * d));
  const size = BigInt(levels.reduce((a, b) => a * b));
  const codecSamples = Math.ceil((samples * codecRate) / rate);
  const count = Math.ceil(codecSamples / hop);
  const blocks = Math.max(1, Math.floor(count / blockTokens));
  const tokens = Array.from({ length: channels }, () => []);
  let place = headerLength;
  for (let block = 0; block < blocks; block++) {
    const n = block === blocks - 1 ? count - block * blockTokens : blockTokens;
    const bits = (size ** BigInt(n) - 1n).toString(2).length;
    const bytes = (bits + 32) >> 3; // the payload, and as much of its check sum as fits
    for (let channel = 0; channel < channels; channel++, place += bytes) {
      let number = BigInt("0x" + file.toString("hex", place, place + bytes)) >> BigInt(8 * bytes - bits);
      for (let i = 0; i < n; i++, number /= size) tokens[channel].push(Number(number % size));
    }
  }
  if (place !== file.length) throw Error("is cut off, or goes on after its last block");
  return { tokens, weights, codecRate, codecSamples };
}

function wav(channels, rate) {
  const [count, length] = [channels.length, channels[0].length];
  const bytes = Buffer.alloc(44 + 4 * count * length); // 32-bit floats
  bytes.write("RIFF", 0), bytes.writeUInt32LE(bytes.length - 8, 4), bytes.write("WAVEfmt ", 8);
  bytes.writeUInt32LE(16, 16), bytes.writeUInt16LE(3, 20), bytes.writeUInt16LE(count, 22);
  bytes.writeUInt32LE(rate, 24), bytes.writeUInt32LE(4 * count * rate, 28);
  bytes.writeUInt16LE(4 * count, 32), bytes.writeUInt16LE(32, 34);
  bytes.write("data", 36), bytes.writeUInt32LE(bytes.length - 44, 40);
  channels.forEach((samples, c) => {
    for (let i = 0; i < length; i++) bytes.writeFloatLE(samples[i], 44 + 4 * (i * count + c));
  });
  return bytes;
}

const [source, folder, target] = process.argv.slice(2);
try {
  const { tokens, weights, codecRate, codecSamples } = readTokens(readFileSync(source));
  const codec = JSON.parse(readFileSync(`${folder}/codec.json`));
  if (codec.fingerprints.weights !== weights) throw Error(`was encoded by another model than ${folder}`);
  ort.env.wasm.numThreads = 1;
  const decoder = await ort.InferenceSession.create(readFileSync(`${folder}/decoder.onnx`));
  const channels = [];
  for (const row of tokens) {
    const given = new ort.Tensor("int32", Int32Array.from(row), [1, row.length]);
    channels.push((await decoder.run({ tokens: given })).audio.data.subarray(0, codecSamples));
  }
  writeFileSync(target, wav(channels, codecRate));
} catch (error) {
  console.error(`decode.mjs: error: ${source}: ${error.message}`);
  process.exit(2);
}

// Audio files of any kind to samples of one channel, and samples to WAV files.

/** The samples of a file at a rate, its channels averaged. Throws an Error with one sentence. */
export async function readAudio(file, rate) {
  const bytes = await file.arrayBuffer();
  let decoded;
  try {
    // Decoding resamples to the rate of its context.
    decoded = await new OfflineAudioContext(1, 1, rate).decodeAudioData(bytes);
  } catch {
    throw Error(`${file.name}: this browser cannot read it as audio.`);
  }
  if (decoded.length === 0) throw Error(`${file.name}: has no samples.`);
  return { samples: mean(decoded), channels: decoded.numberOfChannels };
}

/** Samples at another rate, by the browser. */
export async function resampled(samples, from, to) {
  if (from === to) return samples;
  const length = Math.ceil((samples.length * to) / from);
  const context = new OfflineAudioContext(1, length, to);
  const buffer = context.createBuffer(1, samples.length, from);
  buffer.copyToChannel(samples, 0);
  const source = new AudioBufferSourceNode(context, { buffer });
  source.connect(context.destination);
  source.start();
  return (await context.startRendering()).getChannelData(0);
}

function mean(buffer) {
  const channels = Array.from({ length: buffer.numberOfChannels }, (_, c) => buffer.getChannelData(c));
  if (channels.length === 1) return channels[0];
  return Float32Array.from(channels[0], (_, i) => {
    let sum = 0;
    for (const channel of channels) sum += channel[i];
    return sum / channels.length;
  });
}

/** A WAV file of one channel, in 32-bit floats: nothing is rounded or clipped. */
export function wav(samples, rate) {
  const head = new DataView(new ArrayBuffer(44));
  const text = (place, letters) => [...letters].forEach((c, i) => head.setUint8(place + i, c.charCodeAt()));
  text(0, "RIFF");
  head.setUint32(4, 36 + 4 * samples.length, true);
  text(8, "WAVEfmt ");
  head.setUint32(16, 16, true);
  head.setUint16(20, 3, true); // floats
  head.setUint16(22, 1, true);
  head.setUint32(24, rate, true);
  head.setUint32(28, 4 * rate, true);
  head.setUint16(32, 4, true);
  head.setUint16(34, 32, true);
  text(36, "data");
  head.setUint32(40, 4 * samples.length, true);
  return new Blob([head, samples], { type: "audio/wav" });
}

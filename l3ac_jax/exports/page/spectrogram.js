// Spectrograms on a canvas: magnitudes in dB below a peak that several share.

const SIZE = 512; // of the window, in samples
const COLUMNS = 1200; // at most
const RANGE_DB = 80;
// From the faintest to the loudest, each lighter than the one before, as in matplotlib's magma.
const STOPS = [
  [0, 0, 4], [28, 16, 68], [79, 18, 123], [129, 37, 129], [181, 54, 122], [229, 80, 100],
  [251, 135, 97], [254, 194, 135], [252, 253, 191],
];

/** Powers of windows of the samples: `columns` rows of SIZE / 2 values. */
export function spectrogram(samples) {
  const hop = Math.max(SIZE / 4, Math.ceil(samples.length / COLUMNS));
  const columns = Math.max(1, Math.ceil(samples.length / hop));
  const powers = new Float32Array((columns * SIZE) / 2);
  const real = new Float64Array(SIZE);
  const imaginary = new Float64Array(SIZE);
  for (let column = 0; column < columns; column++) {
    const first = column * hop - SIZE / 2;
    for (let i = 0; i < SIZE; i++) real[i] = WINDOW[i] * (samples[first + i] ?? 0);
    imaginary.fill(0);
    transform(real, imaginary);
    for (let bin = 0; bin < SIZE / 2; bin++) {
      powers[(column * SIZE) / 2 + bin] = real[bin] ** 2 + imaginary[bin] ** 2;
    }
  }
  return { powers, columns, peak: powers.reduce((a, b) => Math.max(a, b), 1e-6) };
}

/** Draw it, 0 dB being `peak`: time to the right, up to half the sample rate. */
export function draw(canvas, { powers, columns }, peak) {
  const bins = SIZE / 2;
  canvas.width = columns;
  canvas.height = bins;
  const context = canvas.getContext("2d");
  const picture = context.createImageData(columns, bins);
  for (let column = 0; column < columns; column++) {
    for (let bin = 0; bin < bins; bin++) {
      const decibels = 10 * Math.log10(powers[column * bins + bin] / peak + 1e-12);
      const color = COLORS[Math.round(255 * Math.min(1, Math.max(0, 1 + decibels / RANGE_DB)))];
      picture.data.set(color, 4 * ((bins - 1 - bin) * columns + column));
    }
  }
  context.putImageData(picture, 0, 0);
}

/** Round numbers from 0 to `end`, at most `count` of them. */
export function ticks(end, count) {
  const least = end / count;
  const power = 10 ** Math.floor(Math.log10(least));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((size) => size >= least);
  return Array.from({ length: Math.floor(end / step + 1e-6) + 1 }, (_, i) => Number((i * step).toFixed(6)));
}

const WINDOW = Float64Array.from({ length: SIZE }, (_, i) => 0.5 - 0.5 * Math.cos((2 * Math.PI * i) / SIZE));

const COLORS = Array.from({ length: 256 }, (_, level) => {
  const place = (level / 255) * (STOPS.length - 1);
  const stop = Math.min(STOPS.length - 2, Math.floor(place));
  const mixed = STOPS[stop].map((from, i) => from + (place - stop) * (STOPS[stop + 1][i] - from));
  return [...mixed.map(Math.round), 255];
});

/** The discrete Fourier transform in place: radix 2, decimation in time. */
function transform(real, imaginary) {
  const n = real.length;
  for (let i = 1, j = 0; i < n; i++) {
    let bit = n >> 1;
    for (; j & bit; bit >>= 1) j ^= bit;
    j ^= bit;
    if (i < j) [real[i], real[j]] = [real[j], real[i]]; // the imaginary parts are zeros
  }
  for (let length = 2; length <= n; length *= 2) {
    for (let k = 0; k < length / 2; k++) {
      const angle = (-2 * Math.PI * k) / length;
      const [c, s] = [Math.cos(angle), Math.sin(angle)];
      for (let a = k; a < n; a += length) {
        const b = a + length / 2;
        const x = c * real[b] - s * imaginary[b];
        const y = c * imaginary[b] + s * real[b];
        [real[b], imaginary[b]] = [real[a] - x, imaginary[a] - y];
        real[a] += x;
        imaginary[a] += y;
      }
    }
  }
}

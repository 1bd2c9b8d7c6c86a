// The page: a file or the microphone to the codec's worker, and what came of it.

import { readAudio, resampled, wav } from "./audio.js";
import { CodecWorker, STOPPED } from "./client.js";
import { latencySamples } from "./codec.js";
import { Live, openMicrophone, Recording } from "./microphone.js";
import { draw, spectrogram, ticks } from "./spectrogram.js";

const RECORDED_SECONDS = 10;
const LIVE_FACTOR = 0.9; // above, what is left for other work is too little

const at = (id) => document.getElementById(id);
const controls = [at("file"), at("microphone")];
const number = (value, digits = 0) =>
  value.toLocaleString("en", { minimumFractionDigits: digits, maximumFractionDigits: digits });

const codec = new CodecWorker();
let facts;
let busy = true;
let endMicrophone = null; // ends what the microphone is used for

// Words

function say(text) {
  at("status").textContent = text;
  at("status").hidden = text === "";
}

function fail(error) {
  at("error").textContent = error.message;
  at("error").hidden = false;
}

function list(target, rows) {
  target.replaceChildren(
    ...Object.entries(rows).map(([name, value]) => {
      const row = document.createElement("div");
      const [term, words] = [document.createElement("dt"), document.createElement("dd")];
      [term.textContent, words.textContent] = [name, value];
      row.append(term, words);
      return row;
    }),
  );
}

/** Do one thing at a time; what goes wrong is said. */
async function alone(work) {
  if (busy) return;
  busy = true;
  controls.forEach((control) => (control.disabled = true));
  at("error").hidden = true;
  try {
    await work();
  } catch (error) {
    fail(error);
  }
  at("work").hidden = true;
  say("");
  busy = false;
  controls.forEach((control) => (control.disabled = false));
}

// A clip

async function codeClip(name, samples, note = "") {
  const length = samples.length / facts.sample_rate;
  const title = `Coding ${number(length, 1)} s of ${name}`;
  at("work-title").textContent = title;
  at("progress").value = 0;
  at("work").hidden = false;
  const start = performance.now();
  const coded = await codec.ask("code", { samples }, (done) => {
    at("progress").value = done;
    const left = ((performance.now() - start) * (1 - done)) / done / 1000;
    at("work-title").textContent = `${title}: some ${number(Math.ceil(left))} s to go`;
  });
  if (coded !== STOPPED) showResult(name, { samples, ...coded }, note);
}

function codeFile(file) {
  return alone(async () => {
    say(`Reading ${file.name}`);
    const { samples, channels } = await readAudio(file, facts.sample_rate);
    say("");
    await codeClip(file.name, samples, channels > 1 ? `mean of ${channels}` : "1");
  });
}

at("file").addEventListener("change", async () => {
  const [file] = at("file").files;
  if (file) await codeFile(file);
  at("file").value = ""; // so that the same file can be chosen again
});

for (const kind of ["dragover", "dragleave", "drop"]) {
  document.addEventListener(kind, (event) => {
    event.preventDefault(); // else the browser opens the file
    at("drop").classList.toggle("over", kind === "dragover" && !busy);
    const [file] = kind === "drop" ? event.dataTransfer.files : [];
    if (file) codeFile(file);
  });
}

at("stop").addEventListener("click", () => codec.stop());

// The microphone

at("microphone").addEventListener("click", () => {
  if (endMicrophone) endMicrophone();
  else alone(useMicrophone);
});

async function useMicrophone() {
  say("Measuring how long coding takes");
  const { factor } = await codec.ask("trial");
  say("Waiting for the microphone");
  const { block } = facts.programs.encoder_step;
  const microphone = await openMicrophone(facts.sample_rate, block * facts.hop_length);
  say("");
  at("live-figures").replaceChildren();
  at("live").hidden = false;
  at("microphone").textContent = "Stop";
  at("microphone").disabled = false;
  const ended = new Promise((resolve) => (endMicrophone = resolve));
  let result;
  try {
    result = await listen(microphone, factor, ended);
  } finally {
    microphone.close();
    endMicrophone = null;
    at("live").hidden = true;
    at("microphone").textContent = "Start";
    at("microphone").disabled = true;
  }
  if (!result) return;
  if (result.audio) showResult("the microphone, live", result);
  else await codeClip("the microphone", result.samples);
}

/** What was heard live, or what was recorded, to be coded now; null where there is nothing. */
async function listen(microphone, factor, ended) {
  if (microphone.rate !== facts.sample_rate) {
    return record(microphone, ended, `This browser captures at ${number(microphone.rate)} Hz alone.`);
  }
  if (factor > LIVE_FACTOR) return record(microphone, ended, tooSlow(factor));
  at("live-state").textContent = "Live: what you hear went through the codec.";
  const live = new Live(codec, facts, microphone, showLive);
  await live.start();
  const late = await Promise.race([live.late, ended]);
  const result = live.stop();
  return late ? record(microphone, ended, tooSlow(late)) : result;
}

function tooSlow(factor) {
  return `Coding takes ${number(factor, 1)} times as long as the sound lasts here, too long for live use.`;
}

async function record(microphone, ended, reason) {
  at("live-state").textContent =
    `${reason} Recording up to ${RECORDED_SECONDS} s instead, to be coded afterwards.`;
  at("live-figures").replaceChildren();
  const recording = new Recording(microphone, RECORDED_SECONDS, showLive);
  await Promise.race([recording.full, ended]);
  const { rate, samples } = recording.stop();
  return samples && { samples: await resampled(samples, rate, facts.sample_rate) };
}

function showLive({ said, heard, recorded, waiting, dropouts, skipped, factor }) {
  for (const [id, level] of Object.entries({ said, heard })) {
    if (level === undefined) continue;
    at(id).value = level;
    at(`${id}-level`).textContent = `${number(Math.max(-99, level))} dB`;
  }
  if (recorded !== undefined) list(at("live-figures"), { recorded: `${number(recorded, 1)} s` });
  if (waiting === undefined || Number.isNaN(factor)) return;
  const milliseconds = (samples) => `${number((1000 * samples) / facts.sample_rate)} ms`;
  list(at("live-figures"), {
    "real-time factor": number(factor, 2),
    dropouts: number(dropouts),
    "left out": milliseconds(skipped),
    "latency of the codec": milliseconds(latencySamples(facts)),
    "waiting to be played": milliseconds(waiting),
  });
}

// The result

function showResult(name, { samples, audio, tokens, seconds }, channels = "1") {
  const length = samples.length / facts.sample_rate;
  at("result-title").textContent = name;
  list(at("figures"), {
    length: `${number(length, 2)} s`,
    ...(channels === "1" ? {} : { channels }),
    tokens: number(tokens.length),
    "tokens/s": number(facts.frame_rate, 1),
    "nominal bit rate": `${number(facts.bitrate)} bit/s`,
    coding: `${number(seconds, 1)} s`,
    "real-time factor": number(seconds / length, 2),
  });
  const shown = { original: samples, decoded: audio };
  const pictures = Object.fromEntries(Object.entries(shown).map(([of, one]) => [of, spectrogram(one)]));
  for (const old of document.querySelectorAll("#recordings audio")) URL.revokeObjectURL(old.src);
  at("result").hidden = false;
  at("recordings").replaceChildren(
    ...Object.entries(shown).map(([of, one]) => showRecording(of, one, pictures[of], pictures.original.peak)),
  );
  const base = name.replace(/\.[^.]*$/, "").replace(/\W+/g, "_");
  offer(at("wav"), `${base}.decoded.wav`, wav(audio, facts.sample_rate));
  offer(at("tokens"), `${base}.tokens.txt`, new Blob([[...tokens, ""].join("\n")], { type: "text/plain" }));
  at("result-title").focus();
}

function showRecording(of, samples, picture, peak) {
  const article = at("recording").content.cloneNode(true);
  const seconds = samples.length / facts.sample_rate;
  const kilohertz = facts.sample_rate / 2000;
  article.querySelector("h3").textContent = of[0].toUpperCase() + of.slice(1);
  const player = article.querySelector("audio");
  player.src = URL.createObjectURL(wav(samples, facts.sample_rate));
  player.setAttribute("aria-label", of);
  const canvas = article.querySelector("canvas");
  canvas.setAttribute(
    "aria-label",
    `Spectrogram of the ${of} audio: 0 to ${number(seconds, 2)} s, 0 to ${kilohertz} kHz`,
  );
  draw(canvas, picture, peak);
  axis(article.querySelector(".frequency"), "bottom", "top", "kHz", kilohertz, 4);
  axis(article.querySelector(".time"), "left", "end", "s", seconds, 6);
  return article;
}

/** Numbers along an axis; that at its very end keeps inside. */
function axis(target, side, last, unit, end, count) {
  for (const value of ticks(end, count)) {
    const label = document.createElement("span");
    label.textContent = `${value} ${unit}`;
    label.style[side] = `${(100 * value) / end}%`;
    label.classList.toggle(last, value > 0.97 * end);
    target.append(label);
  }
}

function offer(link, name, blob) {
  if (link.href) URL.revokeObjectURL(link.href);
  link.href = URL.createObjectURL(blob);
  link.download = name;
}

// The beginning

say("Loading the codec, which takes some seconds");
try {
  ({ facts } = await codec.ask("load"));
  list(at("codec"), {
    model: facts.model,
    "sample rate": `${number(facts.sample_rate)} Hz`,
    "tokens/s": number(facts.frame_rate, 1),
    "nominal bit rate": `${number(facts.bitrate)} bit/s`,
    latency: `${number((1000 * latencySamples(facts)) / facts.sample_rate)} ms`,
  });
  at("codec").hidden = false;
  busy = false;
  controls.forEach((control) => (control.disabled = false));
} catch (error) {
  fail(error);
}
say("");

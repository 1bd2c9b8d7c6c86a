"use strict";

const players = [...document.querySelectorAll("audio")];
const playersOf = (player) => [...player.closest("article").querySelectorAll("audio")];
let current = null; // the player that was started last

// Players

function showMoment(player) {
  const line = player.closest(".recording").querySelector(".now");
  line.hidden = !player.duration || (player.paused && player.currentTime === 0);
  line.style.left = `${(100 * player.currentTime) / player.duration}%`;
}

function followWhilePlaying(player) {
  showMoment(player);
  if (!player.paused) requestAnimationFrame(() => followWhilePlaying(player));
}

function started(player) {
  const before = current;
  current = player;
  if (before && before !== player && !before.paused) {
    before.pause();
    if (playersOf(player).includes(before)) player.currentTime = before.currentTime;
  }
  followWhilePlaying(player);
}

for (const player of players) {
  player.addEventListener("play", () => started(player));
  for (const event of ["seeked", "pause", "ended"]) {
    player.addEventListener(event, () => showMoment(player));
  }
  player.closest(".recording").querySelector(".plot").addEventListener("click", (event) => {
    const area = event.currentTarget.getBoundingClientRect();
    if (player.duration) player.currentTime = ((event.clientX - area.left) / area.width) * player.duration;
  });
}

// Loaded players take memory, and Chromium refuses a page too many of them (crbug.com/1144736): only
// those of the clips around the visible ones are loaded. To set preload to "none" unloads nothing.
const sources = new Map(players.map((player) => [player, player.src]));

function load(player) {
  player.preload = "metadata";
  if (!player.hasAttribute("src")) player.src = sources.get(player);
}

function unload(player) {
  if (player.preload === "none" || player === current || !player.paused) return;
  player.preload = "none";
  player.removeAttribute("src");
  player.load();
  showMoment(player);
}

const nearby = new IntersectionObserver((changes) => {
  for (const { target, isIntersecting } of changes) {
    target.querySelectorAll("audio").forEach(isIntersecting ? load : unload);
  }
}, { rootMargin: "100% 0px" });
for (const article of document.querySelectorAll("article")) nearby.observe(article);

// While one version plays, a digit goes on with another; otherwise it starts one.
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.altKey || event.metaKey || event.target.matches("select")) return;
  const next = current && /^[1-9]$/.test(event.key) && playersOf(current)[event.key - 1];
  if (!next || !next.paused) return;
  load(next);
  next.play();
});

// The table of scores: numbers by value, the rest by name, what has no score last.

const table = document.querySelector("#clips");
const headings = [...table.querySelectorAll("thead th")];

function compare(column, direction) {
  const sign = direction === "ascending" ? 1 : -1;
  return (first, second) => {
    const [a, b] = [first, second].map((row) => row.cells[column]);
    if (a.dataset.value === undefined) return sign * a.textContent.localeCompare(b.textContent);
    const [x, y] = [a, b].map((cell) => (cell.dataset.value === "" ? NaN : Number(cell.dataset.value)));
    if (Number.isNaN(x) || Number.isNaN(y)) return Number.isNaN(x) - Number.isNaN(y);
    return sign * (x - y);
  };
}

headings.forEach((heading, column) => {
  heading.querySelector("button").addEventListener("click", () => {
    const first = heading.dataset.first || "ascending";
    const other = first === "ascending" ? "descending" : "ascending";
    const direction = heading.getAttribute("aria-sort") === first ? other : first;
    for (const each of headings) each.removeAttribute("aria-sort");
    heading.setAttribute("aria-sort", direction);
    table.tBodies[0].append(...[...table.tBodies[0].rows].sort(compare(column, direction)));
  });
});

// Filters

const domain = document.querySelector("#domain");
const codec = document.querySelector("#codec");

function filter() {
  const [inDomain, ofCodec] = [domain, codec].map((choice) => (choice ? choice.value : ""));
  for (const row of document.querySelectorAll("#summary tbody tr")) {
    row.hidden = row.dataset.domain !== inDomain;
  }
  for (const row of table.tBodies[0].rows) {
    row.hidden =
      (inDomain !== "" && row.dataset.domain !== inDomain) ||
      (ofCodec !== "" && row.dataset.codec !== ofCodec);
  }
  for (const article of document.querySelectorAll("article")) {
    article.hidden = inDomain !== "" && article.dataset.domain !== inDomain;
    if (article.hidden) article.querySelectorAll("audio").forEach((player) => player.pause());
  }
}
for (const choice of [domain, codec]) if (choice) choice.addEventListener("change", filter);

"use strict";
const page = JSON.parse(document.getElementById("data").textContent);
const dark = window.matchMedia("(prefers-color-scheme: dark)");
const touch = window.matchMedia("(hover: none)");
const narrow = window.matchMedia("(max-width: 600px)");
const COLORS = ["#4477cc", "#e08a2b", "#3a9d5d", "#cc4455", "#8f6bd1", "#9a6b4f", "#d072b8", "#7a8691", "#a8a02a", "#2aa8b8",
  "#93b4ee", "#f4bf85", "#8ed0a4", "#ee9aa4", "#c6b1ee", "#c9a58e", "#ecb4dc", "#b4bcc4", "#d8d27a", "#86d3dd"];

// Colors of the page, for the charts: they follow the reader's theme.
const color = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
function theme(layout, small) {
  const axis = { gridcolor: color("--line"), zerolinecolor: color("--line"), linecolor: color("--line"), automargin: true };
  return {
    ...layout, colorway: COLORS, paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", dragmode: small ? false : "pan",
    font: { color: color("--ink"), family: "system-ui, sans-serif", size: 12 },
    xaxis: { ...axis, ...layout.xaxis }, yaxis: { ...axis, ...layout.yaxis },
    margin: { l: 8, r: 8, t: 8, b: 8 },
    legend: { orientation: "h", y: -0.15, yanchor: "top" }, hoverlabel: { bgcolor: color("--panel"), font: { color: color("--ink") } },
  };
}
const settings = { responsive: true, displaylogo: false, displayModeBar: false, scrollZoom: false };

// Charts are drawn when they come into view.
const charts = new Map(Object.entries(page.figures).map(([name, figure]) => [document.getElementById(name), figure]));
const drawn = new Set();
function draw(element) {
  const figure = charts.get(element);
  if (figure.data.length < 2) figure.layout.showlegend = false;
  Plotly.react(element, figure.data, theme(figure.layout, true), settings);
  drawn.add(element);
}
const seen = new IntersectionObserver((entries) => {
  for (const entry of entries) if (entry.isIntersecting) { seen.unobserve(entry.target); draw(entry.target); }
}, { rootMargin: "200px" });
for (const element of charts.keys()) seen.observe(element);

// Thumbnails are parts of one picture.
function show(element, number, side) {
  const column = number % page.columns, row = Math.floor(number / page.columns);
  element.style.backgroundSize = `${side * page.columns}px ${side * page.rows}px`;
  element.style.backgroundPosition = `${-side * column}px ${-side * row}px`;
}
for (const element of document.querySelectorAll("[data-thumb]")) show(element, Number(element.dataset.thumb), 64);
const words = (number) => {
  const [label, name, part] = page.captions[number];
  return `${label ? label + ", " : ""}${part} image, ${name}`;
};

const card = document.getElementById("card");
for (const button of document.querySelectorAll(".pick")) {
  button.addEventListener("click", () => {
    const number = Number(button.dataset.image), text = button.querySelector(".text").textContent;
    show(card.querySelector(".thumb"), number, 192);
    card.querySelector("p").textContent = words(number) + (text && text !== page.captions[number][0] ? ` (${text})` : "");
    card.showModal();
  });
}

// The map.
const map = document.getElementById("map_figure"), box = document.getElementById("mapbox");
const tip = document.getElementById("tip"), told = document.getElementById("maptext");
let chosen = -1;
const points = page.map.data.flatMap((trace, curve) => trace.customdata.map((number, place) => ({ curve, place, number })));
function drawMap() {
  const layout = theme(page.map.layout, narrow.matches);
  layout.legend = { orientation: "h", y: 0, yanchor: "top" };
  layout.showlegend = page.map.data.length > 1;
  return Plotly.react(map, page.map.data, layout, { ...settings, scrollZoom: !narrow.matches });
}
function choose(curve, place) {
  const trace = page.map.data[curve], number = trace.customdata[place];
  const full = map._fullLayout, xaxis = full.xaxis, yaxis = full.yaxis;
  const at = (axis, values) => axis._offset + axis.l2p(values[place]);
  show(tip.querySelector(".thumb"), number, 192);
  tip.querySelector("span").textContent = told.textContent = words(number);
  tip.hidden = false;
  const x = at(xaxis, map._fullData[curve].x), y = at(yaxis, map._fullData[curve].y);
  tip.style.left = `${Math.max(0, Math.min(x + 14, box.clientWidth - tip.offsetWidth))}px`;
  tip.style.top = `${Math.max(0, Math.min(y + 14, map.clientHeight - tip.offsetHeight))}px`;
  chosen = points.findIndex((point) => point.curve === curve && point.place === place);
}
function hide() { tip.hidden = true; }
drawMap().then(() => {
  for (const event of ["plotly_hover", "plotly_click"]) map.on(event, (e) => choose(e.points[0].curveNumber, e.points[0].pointNumber));
  map.on("plotly_unhover", () => { if (!narrow.matches && !touch.matches) hide(); });  // a tap ends with one
  map.on("plotly_relayout", (e) => { if ("xaxis.range[0]" in e) hide(); });
  map.dataset.ready = "true";
});
box.addEventListener("keydown", (event) => {
  const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
  if (event.key === "Escape") hide();
  if (!step) return;
  event.preventDefault();
  const next = points[(chosen + step + points.length) % points.length];
  choose(next.curve, next.place);
});
for (const button of document.querySelectorAll("[data-map]")) {
  button.addEventListener("click", () => {
    for (const other of document.querySelectorAll("[data-map]")) other.setAttribute("aria-pressed", String(other === button));
    for (const trace of page.map.data) {
      const places = trace.meta[button.dataset.map];
      trace.x = places.map((place) => place[0]);
      trace.y = places.map((place) => place[1]);
    }
    hide();
    page.map.layout.datarevision = button.dataset.map;
    for (const axis of ["xaxis", "yaxis"]) { delete page.map.layout[axis].range; page.map.layout[axis].autorange = true; }
    drawMap();
  });
}
dark.addEventListener("change", () => { for (const element of drawn) draw(element); drawMap(); });
narrow.addEventListener("change", drawMap);

"use strict";
// Draws each figure from the JSON that stands next to it, in the colours that the style sheet has at the moment.
(() => {
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const phone = matchMedia("(max-width: 40rem)");
  const touch = matchMedia("(pointer: coarse)");

  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const transparent = (hex, opacity) => hex + Math.round(opacity * 255).toString(16).padStart(2, "0");

  // So much of the way from one colour to the other.
  function between(from, to, way) {
    const parts = (hex) => [1, 3, 5].map((i) => parseInt(hex.slice(i, i + 2), 16));
    const [a, b] = [parts(from), parts(to)];
    return `rgb(${a.map((part, i) => Math.round(part + way * (b[i] - part))).join(",")})`;
  }

  // From hardly more than the page's colour, which a gap has, to its opposite.
  function themedCells(trace) {
    const [page, middle, ink] = ["--page", "--series-0", "--ink"].map(colour);
    const scale = [0, 0.25, 0.5, 0.75, 1].map((at) => [
      at,
      at <= 0.5 ? between(page, middle, 0.12 + 1.76 * at) : between(middle, ink, 2 * at - 1),
    ]);
    const bar = { thickness: 12, outlinewidth: 0, tickcolor: colour("--quiet"), tickfont: { color: colour("--quiet") } };
    return { ...trace, colorscale: scale, colorbar: { ...trace.colorbar, ...bar }, xgap: 0, ygap: 1 };
  }

  function themedTrace(trace) {
    if (trace.meta.role === "cells") return themedCells(trace);
    if (trace.meta.role === "fine") return { ...trace, fillcolor: transparent(colour("--yes"), 0.16) };
    const own = colour(`--series-${trace.meta.style}`);
    if (trace.meta.role === "band") return { ...trace, fillcolor: transparent(own, 0.18) };
    const themed = { ...trace, marker: { ...trace.marker, color: own } };
    if (trace.line) themed.line = { ...trace.line, color: own };
    if (trace.error_y) themed.error_y = { ...trace.error_y, color: own };
    return themed;
  }

  function themedAxis(axis) {
    return {
      ...axis,
      automargin: true,
      color: colour("--quiet"),
      gridcolor: colour("--rule"),
      linecolor: colour("--quiet"),
      showline: true,
      zeroline: false,
      ticks: "outside",
      ticklen: 4,
      exponentformat: "e",
      minexponent: 4,
      minor: axis.dtick === 1 ? { dtick: "D1", ticks: "outside", ticklen: 2, tickcolor: colour("--rule") } : {},
      title: { ...axis.title, standoff: 10, font: { size: phone.matches ? 12 : 13 } },
      // A finger that scrolls the page must not zoom a figure.
      fixedrange: touch.matches,
    };
  }

  function themedLayout(layout) {
    const ink = colour("--ink");
    const page = colour("--page");
    return {
      ...layout,
      xaxis: themedAxis(layout.xaxis),
      yaxis: themedAxis(layout.yaxis),
      font: { family: getComputedStyle(document.body).fontFamily, size: phone.matches ? 12 : 13, color: ink },
      paper_bgcolor: page,
      plot_bgcolor: page,
      hoverlabel: { bgcolor: colour("--panel"), bordercolor: colour("--rule"), font: { color: ink }, namelength: -1 },
      modebar: { bgcolor: page, color: colour("--quiet"), activecolor: ink },
      legend: { orientation: "h", xref: "container", x: 0, yref: "container", y: 0, yanchor: "bottom", itemwidth: 40 },
      showlegend: true,
      margin: { l: 8, r: 12, t: 28, b: 8 },
      dragmode: touch.matches ? false : "zoom",
      uirevision: "kept when the theme changes",
    };
  }

  // The figure with its words in Chinese where that is chosen; words without Chinese stay as they are.
  function inLanguage(figure) {
    if (document.documentElement.lang !== "zh-Hans") return figure;
    const { names, x, y } = figure.chinese;
    const { xaxis, yaxis } = figure.layout;
    const titled = (axis, title) => ({ ...axis, title: { ...axis.title, text: title ?? axis.title.text } });
    const place = `<br>${xaxis.title.text} `;
    const traces = figure.traces.map((trace, i) => {
      if (names[i] === null) return trace;
      if (!trace.colorbar) return { ...trace, name: names[i] };
      const text = trace.text.map((row) => row.map((words) => words.replace(place, `<br>${x ?? xaxis.title.text} `)));
      return { ...trace, text, colorbar: { ...trace.colorbar, title: { ...trace.colorbar.title, text: names[i] } } };
    });
    return { traces, layout: { ...figure.layout, xaxis: titled(xaxis, x), yaxis: titled(yaxis, y) } };
  }

  async function draw(plot) {
    const figure = inLanguage(JSON.parse(plot.nextElementSibling.textContent));
    const config = {
      responsive: true,
      displaylogo: false,
      displayModeBar: phone.matches || touch.matches ? false : "hover",
      // By name, because the default ones include one that uploads the figure.
      modeBarButtons: [["toImage"], ["zoom2d", "pan2d", "resetScale2d"]],
      plotlyServerURL: "",
    };
    await Plotly.react(plot, figure.traces.map(themedTrace), themedLayout(figure.layout), config);
    // However long the legend is, the axes keep their height.
    const legend = plot.querySelector("g.legend");
    if (legend) {
      plot.style.height = `calc(var(--height) + ${Math.ceil(legend.getBBox().height)}px)`;
      await Plotly.Plots.resize(plot);
    }
    // A screen reader speaks the label and the table, not the ticks one by one.
    for (const image of plot.querySelectorAll("svg.main-svg")) image.setAttribute("aria-hidden", "true");
  }

  async function drawIn(part) {
    for (const plot of part.querySelectorAll(".plot")) {
      // What is folded away has no size to be drawn in.
      if (plot.closest("details:not([open])")) continue;
      await draw(plot);
      // Between two figures the page stays alive.
      await new Promise((resume) => setTimeout(resume));
    }
  }

  const drawAll = () => drawIn(document);
  drawAll();
  for (const query of [dark, phone]) query.addEventListener("change", drawAll);
  // After language.js, which sets the page's language.
  for (const choice of document.querySelectorAll("input[name=language]")) choice.addEventListener("change", drawAll);
  for (const details of document.querySelectorAll("details.layer")) {
    details.addEventListener("toggle", () => drawIn(details));
  }
})();

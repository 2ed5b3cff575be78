"use strict";
// Draws each figure from the JSON that stands next to it, in the colours that the style sheet has at the moment.
(() => {
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const phone = matchMedia("(max-width: 40rem)");
  const touch = matchMedia("(pointer: coarse)");
  const plots = [...document.querySelectorAll(".plot")];

  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const transparent = (hex, opacity) => hex + Math.round(opacity * 255).toString(16).padStart(2, "0");

  function themedTrace(trace) {
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

  async function draw(plot) {
    const figure = JSON.parse(plot.nextElementSibling.textContent);
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

  async function drawAll() {
    for (const plot of plots) {
      await draw(plot);
      // Between two figures the page stays alive.
      await new Promise((resume) => setTimeout(resume));
    }
  }

  drawAll();
  for (const query of [dark, phone]) query.addEventListener("change", drawAll);
})();

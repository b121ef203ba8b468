// Draws the day's half-hours from the table below the chart, so that both always say the same. uPlot keeps the
// axes, the scale and the cursor; the bars are drawn here, because a meter that reports every hour has bars of
// two half-hours, and a missing half-hour must look like a hole and not like zero.
"use strict";
(() => {
  let plot = null;

  const colour = (name) => getComputedStyle(document.body).getPropertyValue(name).trim();

  const read = (place) => {
    const rows = [...document.querySelectorAll("#table tbody tr")].map((row) => ({
      slot: Number(row.dataset.slot),
      span: Number(row.dataset.span),
      state: row.dataset.state,
      value: row.dataset.value === undefined ? null : Number(row.dataset.value),
      text: row.dataset.value ?? "",
      label: row.dataset.label,
      why: row.dataset.why,
    }));
    rows.reverse();
    return {
      rows,
      slots: Number(place.dataset.slots),
      ticks: JSON.parse(place.dataset.ticks),
      register: place.dataset.register === "yes",
      unit: place.dataset.unit,
      name: place.dataset.name,
    };
  };

  const hatch = (ctx, left, top, width, height, ink) => {
    ctx.save();
    ctx.beginPath();
    ctx.rect(left, top, width, height);
    ctx.clip();
    ctx.strokeStyle = ink;
    ctx.lineWidth = devicePixelRatio;
    ctx.beginPath();
    const step = 7 * devicePixelRatio;
    for (let x = left - height; x < left + width; x += step) {
      ctx.moveTo(x, top + height);
      ctx.lineTo(x + height, top);
    }
    ctx.stroke();
    ctx.restore();
  };

  const bars = (day) => (u) => {
    const { ctx } = u;
    const { top, height } = u.bbox;
    const [bar, doubtful, missing] = [colour("--chart"), colour("--chart-doubtful"), colour("--chart-missing")];
    const gap = Math.max(1, Math.round(devicePixelRatio));
    for (const row of day.rows) {
      const from = u.valToPos(row.slot + 1 - row.span, "x", true);
      const to = u.valToPos(row.slot + 1, "x", true);
      if (row.value === null && row.state !== "not due") {
        hatch(ctx, from, top, to - from, height, missing);
      } else if (row.value !== null) {
        const y = u.valToPos(row.value, "y", true);
        ctx.fillStyle = row.state === "suspect" ? doubtful : bar;
        if (day.register) {
          // A measured zero is a line on the axis; only what is missing is empty.
          const high = Math.max(2 * devicePixelRatio, top + height - y);
          ctx.fillRect(from + gap / 2, top + height - high, Math.max(1, to - from - gap), high);
        } else {
          ctx.fillRect(from, y - devicePixelRatio, to - from, 2 * devicePixelRatio);
        }
      }
    }
  };

  const tell = (day) => (u) => {
    const readout = document.getElementById("readout");
    const row = day.rows[u.cursor.idx ?? -1];
    if (!readout || u.cursor.left < 0 || !row) return;
    const found = row.value === null ? `— ${row.why}` : `${row.text} ${day.unit}`;
    readout.textContent = `${row.label}  ${found}${row.state === "suspect" ? " (doubtful)" : ""}`;
  };

  const draw = () => {
    plot?.destroy();
    plot = null;
    const place = document.getElementById("chart");
    if (!place || !window.uPlot) return;
    place.hidden = false;
    place.textContent = "";
    const readout = document.getElementById("readout");
    readout.hidden = false;
    readout.textContent = "Touch a bar to read it";
    const day = read(place);
    place.setAttribute("role", "img");
    place.setAttribute("aria-label", `${day.name} per half-hour; the table below has the same numbers`);
    const labels = new Map(day.ticks);
    const [ink, line] = [colour("--muted"), colour("--line")];
    const axis = { stroke: ink, font: "12px system-ui, sans-serif", ticks: { show: false } };
    plot = new uPlot(
      {
        width: place.clientWidth,
        height: 190,
        padding: [10, 20, 0, 0],
        legend: { show: false },
        cursor: { y: false, drag: { x: false, y: false }, points: { show: false } },
        scales: {
          x: { time: false, range: [0, day.slots] },
          y: day.register ? { range: (u, low, high) => [0, (high || 1) * 1.1] } : {},
        },
        series: [{}, { paths: () => null, points: { show: false } }],
        axes: [
          {
            ...axis,
            size: 26,
            splits: day.ticks.map(([at]) => at),
            values: (u, splits) => splits.map((at) => labels.get(at)),
            grid: { show: false },
          },
          {
            ...axis,
            size: (u, values) => 14 + 7 * Math.max(2, ...(values ?? []).map((text) => text.length)),
            space: 40,
            grid: { stroke: line, width: 1 },
          },
        ],
        hooks: { draw: [bars(day)], setCursor: [tell(day)] },
      },
      // A slot's cursor place is its middle.
      [day.rows.map((row) => row.slot + 0.5), day.rows.map((row) => row.value)],
      place,
    );
  };

  const renew = (place, fresh) => {
    const open = document.getElementById("table")?.open ?? false;
    plot?.destroy();
    plot = null;
    place.replaceChildren(...fresh.childNodes);
    const table = document.getElementById("table");
    if (table) table.open = open;
    draw();
  };

  window.meterkastChart = { renew };
  const table = document.getElementById("table");
  if (table) table.open = false; // the chart says it; one touch brings the table back
  draw();
  window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
  let width = 0;
  new ResizeObserver(() => {
    const place = document.getElementById("chart");
    if (!place || !plot || place.clientWidth === width) return;
    width = place.clientWidth;
    plot.setSize({ width, height: 190 });
  }).observe(document.getElementById("half-hours"));
})();

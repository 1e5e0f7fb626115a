// Bars, stacked by outcome. Its colours are the page's, so it is drawn anew when those change.

import { BarController, BarElement, CategoryScale, Chart, Legend, LinearScale, Tooltip } from "chart.js";
import { useEffect, useRef } from "react";
import type { Usage } from "../api/client.ts";
import { OUTCOMES } from "../rules/words.ts";
import { stepName } from "./usage.tsx";

Chart.register(BarController, BarElement, CategoryScale, Legend, LinearScale, Tooltip);

/** What a colour of the style sheet is at the moment. */
function colour(name: string): string {
  const probe = document.createElement("i");
  probe.style.color = `var(${name})`;
  document.body.append(probe);
  const { color } = getComputedStyle(probe);
  probe.remove();
  return color;
}

/** Each outcome has its colour everywhere. */
const ORDER = Object.keys(OUTCOMES);

export default function UsageChart({ usage, outcomes }: { usage: Usage; outcomes: string[] }) {
  const canvas = useRef<HTMLCanvasElement>(null);
  useEffect(() => {
    let chart: Chart | undefined;
    const draw = () => {
      chart?.destroy();
      if (canvas.current !== null) chart = drawn(canvas.current, usage, outcomes);
    };
    draw();
    const scheme = matchMedia("(prefers-color-scheme: dark)");
    scheme.addEventListener("change", draw);
    window.addEventListener("themechange", draw);
    return () => {
      scheme.removeEventListener("change", draw);
      window.removeEventListener("themechange", draw);
      chart?.destroy();
    };
  }, [usage, outcomes]);
  const total = outcomes.map(
    (outcome) => `${OUTCOMES[outcome] ?? outcome} ${Number(usage.total[outcome]).toLocaleString("en")}`,
  );
  return (
    <>
      <p className="hint">{total.join(" · ")}</p>
      <div className="plot">
        <canvas ref={canvas} role="img" aria-label={`Verifications by ${usage.by}: ${total.join(", ")}`} />
      </div>
    </>
  );
}

function drawn(canvas: HTMLCanvasElement, usage: Usage, outcomes: string[]): Chart {
  const [faint, line] = [colour("--faint"), colour("--line")];
  return new Chart(canvas, {
    type: "bar",
    data: {
      labels: usage.series.map((point) => stepName(point.at, usage.by)),
      datasets: outcomes.map((outcome) => ({
        label: OUTCOMES[outcome] ?? outcome,
        data: usage.series.map((point) => Number(point.outcomes[outcome] ?? 0)),
        backgroundColor: colour(`--chart-${ORDER.indexOf(outcome) + 1}`),
        stack: "all",
      })),
    },
    options: {
      animation: false,
      maintainAspectRatio: false,
      interaction: { mode: "index", intersect: false },
      plugins: { legend: { position: "bottom", labels: { color: faint, boxWidth: 12 } } },
      scales: {
        x: { stacked: true, grid: { display: false }, ticks: { color: faint, maxRotation: 0, autoSkipPadding: 14 } },
        y: { stacked: true, beginAtZero: true, grid: { color: line }, ticks: { color: faint, precision: 0 } },
      },
    },
  });
}

// A bar chart of verifications, stacked by verdict. A canvas has no styles, so it is drawn again when the theme changes.

import { BarController, BarElement, CategoryScale, Chart, Legend, LinearScale, Tooltip } from "chart.js";
import { useEffect, useRef } from "react";
import type { Usage, VerdictCode } from "../../api/client.ts";
import { VERDICT_TEXTS } from "../../lib/messages.ts";
import { formatPeriod } from "../../lib/time.ts";

Chart.register(BarController, BarElement, CategoryScale, Legend, LinearScale, Tooltip);

/** The current value of a color variable of the style sheet. */
function cssColor(name: string): string {
  const probe = document.createElement("i");
  probe.style.color = `var(${name})`;
  document.body.append(probe);
  const { color } = getComputedStyle(probe);
  probe.remove();
  return color;
}

/** Each verdict has the same color in all charts: that of its place here. */
const COLOR_ORDER = Object.keys(VERDICT_TEXTS);

interface Props {
  usage: Usage;
  verdicts: VerdictCode[];
}

export default function UsageChart({ usage, verdicts }: Props) {
  const canvas = useRef<HTMLCanvasElement>(null);
  useEffect(() => {
    let chart: Chart | undefined;
    const draw = () => {
      chart?.destroy();
      if (canvas.current !== null) chart = createChart(canvas.current, usage, verdicts);
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
  }, [usage, verdicts]);
  const totals = verdicts.map(
    (verdict) => `${VERDICT_TEXTS[verdict]} ${Number(usage.total[verdict]).toLocaleString("en")}`,
  );
  return (
    <>
      <p className="hint">{totals.join(" · ")}</p>
      <div className="chart">
        <canvas ref={canvas} role="img" aria-label={`Verifications by ${usage.by}: ${totals.join(", ")}`} />
      </div>
    </>
  );
}

function createChart(canvas: HTMLCanvasElement, usage: Usage, verdicts: VerdictCode[]): Chart {
  const [text, border] = [cssColor("--text-muted"), cssColor("--border")];
  return new Chart(canvas, {
    type: "bar",
    data: {
      labels: usage.series.map((point) => formatPeriod(point.at, usage.by)),
      datasets: verdicts.map((verdict) => ({
        label: VERDICT_TEXTS[verdict],
        data: usage.series.map((point) => Number(point.outcomes[verdict] ?? 0)),
        backgroundColor: cssColor(`--chart-${COLOR_ORDER.indexOf(verdict) + 1}`),
        stack: "all",
      })),
    },
    options: {
      animation: false,
      maintainAspectRatio: false,
      interaction: { mode: "index", intersect: false },
      plugins: { legend: { position: "bottom", labels: { color: text, boxWidth: 12 } } },
      scales: {
        x: { stacked: true, grid: { display: false }, ticks: { color: text, maxRotation: 0, autoSkipPadding: 14 } },
        y: { stacked: true, beginAtZero: true, grid: { color: border }, ticks: { color: text, precision: 0 } },
      },
    },
  });
}

// The usage of a key in the last 30 days, as bars and in numbers. It is drawn without the chart library of the dashboard, which
// is larger than this page.

import { useEffect, useState } from "react";
import { type Schemas, unwrap } from "../api/client.ts";
import { Dialog } from "../components/ui/dialog.tsx";
import { ErrorNotice } from "../components/ui/error-notice.tsx";
import { Loading } from "../components/ui/loading.tsx";
import { DAY, formatPeriod, periodStart } from "../lib/time.ts";
import { hasEnded, type PortalKey } from "./api.ts";
import type { DialogProps } from "./dialog-props.ts";
import { nameOf } from "./keys.tsx";

type Usage = Schemas["Usage"];

const DAYS = 30;

export function KeyUsage({ apiKey, client, onClose, onEnded }: DialogProps & { apiKey: PortalKey }) {
  const [usage, setUsage] = useState<Usage | null>(null);
  const [error, setError] = useState<unknown>(null);
  useEffect(() => {
    let isCurrent = true;
    const query = { by: "day", from: periodStart(Date.now(), "day", DAYS * DAY) } as const;
    const read = unwrap(
      client.GET("/portal/api_keys/{key_id}/usage", { params: { path: { key_id: apiKey.id }, query } }),
    );
    read.then(
      (usage) => isCurrent && setUsage(usage),
      (error: unknown) => {
        if (!isCurrent) return;
        if (hasEnded(error)) onEnded();
        else setError(error);
      },
    );
    return () => {
      isCurrent = false;
    };
  }, [client, apiKey.id, onEnded]);
  return (
    <Dialog title={`Usage of ${nameOf(apiKey)}`} onClose={onClose}>
      {error !== null && <ErrorNotice error={error} />}
      {usage === null && error === null && <Loading label="Loading usage" />}
      {usage !== null && <UsageView usage={usage} />}
    </Dialog>
  );
}

/** The size of the drawing, in units of its own. */
const [WIDTH, HEIGHT] = [300, 80];

function UsageView({ usage }: { usage: Usage }) {
  const valid = usage.series.reduce((sum, point) => sum + point.valid, 0);
  const refused = usage.series.reduce((sum, point) => sum + point.refused, 0);
  const most = Math.max(1, ...usage.series.map((point) => point.valid + point.refused));
  const summary = `${valid.toLocaleString("en")} valid and ${refused.toLocaleString("en")} refused requests in the last ${DAYS} days`;
  const bar = WIDTH / Math.max(1, usage.series.length);
  const used = usage.series.filter((point) => point.valid + point.refused > 0).reverse();
  return (
    <div className="stack">
      <p>{summary}.</p>
      <svg
        className="portal-usage"
        viewBox={`0 0 ${WIDTH} ${HEIGHT}`}
        preserveAspectRatio="none"
        role="img"
        aria-label={summary}
      >
        {usage.series.map((point, at) => {
          const [good, bad] = [(point.valid / most) * HEIGHT, (point.refused / most) * HEIGHT];
          const place = { x: at * bar + bar * 0.1, width: bar * 0.8 };
          return (
            <g key={point.at}>
              <rect {...place} className="valid" y={HEIGHT - good} height={good} />
              <rect {...place} className="refused" y={HEIGHT - good - bad} height={bad} />
            </g>
          );
        })}
      </svg>
      {used.length > 0 && (
        <details>
          <summary>In numbers</summary>
          <table>
            <thead>
              <tr>
                <th scope="col">Day (UTC)</th>
                <th scope="col" className="number">
                  Valid
                </th>
                <th scope="col" className="number">
                  Refused
                </th>
              </tr>
            </thead>
            <tbody>
              {used.map((point) => (
                <tr key={point.at}>
                  <td className="nowrap">{formatPeriod(point.at, "day")}</td>
                  <td className="number">{point.valid.toLocaleString("en")}</td>
                  <td className="number">{point.refused.toLocaleString("en")}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </details>
      )}
    </div>
  );
}

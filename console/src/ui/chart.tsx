// A line over time. The library draws on a canvas; colours are read from the tokens, since it knows no CSS.
import { useEffect, useRef } from "react";
import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";

export interface Series {
  name: string;
  /** A token. */
  colour: string;
  values: Array<number | null>;
}

interface Props {
  /** Unix seconds. */
  times: number[];
  series: Series[];
  label: string;
  height?: number;
}

export default function Chart({ times, series, label, height = 150 }: Props) {
  const box = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot>(undefined);
  const shape = series.map((one) => one.name).join();
  const theme = document.documentElement.dataset.theme;
  useEffect(() => {
    const element = box.current;
    if (!element) return;
    const style = getComputedStyle(document.documentElement);
    const token = (name: string) => style.getPropertyValue(`--${name}`).trim();
    const axis = { stroke: token("soft"), grid: { stroke: token("rule"), width: 1 }, ticks: { show: false }, font: "11px ui-sans-serif, system-ui, sans-serif" };
    const made = new uPlot(
      {
        width: element.clientWidth,
        height,
        legend: { show: false },
        cursor: { y: false, points: { size: 6 } },
        scales: { y: { range: (_, __, max) => [0, Math.max(1, max * 1.15)] } },
        axes: [
          { ...axis, space: 90, size: 26, values: [[1, "{HH}:{mm}:{ss}", null, null, null, null, null, null, 1]] as never },
          { ...axis, size: 44, splits: (_, __, ___, max) => [0, max / 2, max].map((value) => Math.round(value * 10) / 10) },
        ],
        series: [{}, ...series.map((one) => ({ label: one.name, stroke: token(one.colour), width: 1.75, fill: `color-mix(in oklab, ${token(one.colour)} 12%, transparent)`, points: { show: false } }))],
      },
      [times, ...series.map((one) => one.values)],
      element,
    );
    plot.current = made;
    const watch = new ResizeObserver(() => made.setSize({ width: element.clientWidth, height }));
    watch.observe(element);
    return () => {
      watch.disconnect();
      made.destroy();
    };
    // Figures come by setData below.
    // oxlint-disable-next-line react-hooks/exhaustive-deps
  }, [shape, height, theme]);
  useEffect(() => {
    plot.current?.setData([times, ...series.map((one) => one.values)]);
  }, [times, series]);
  return <div ref={box} role="img" aria-label={label} style={{ height }} className="w-full overflow-hidden" />;
}

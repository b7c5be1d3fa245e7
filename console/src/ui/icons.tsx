// The console's signs: drawn on one 16-unit grid with one stroke.
const PATHS = {
  home: "M2.5 8 8 3l5.5 5M4 7v6h8V7",
  tasks: "M2.5 4h2M2.5 8h2M2.5 12h2M7 4h6.5M7 8h6.5M7 12h6.5",
  functions: "M5.5 13.5c2 0 2.2-1.5 2.5-3.5l.8-5C9.1 3 9.6 2.5 11 2.500M5 7h6",
  flows: "M3 3h4v3H3zM9 10h4v3H9zM5 6v5.500h4M7 4.500h4V10",
  capacity: "M2.5 13V9M6.2 13V5M9.8 13V7.500M13.5 13V3",
  logs: "M3 3.500h10M3 6.500h7M3 9.500h10M3 12.500h5",
  accounts: "M8 8a2.5 2.5 0 1 0 0-5 2.5 2.5 0 0 0 0 5M3 13.500c.5-2.5 2.5-3.5 5-3.500s4.5 1 5 3.5",
  settings: "M3 5h6M12 5h1M3 11h1M7 11h6M10.5 3.500v3M5.5 9.500v3",
  search: "M7 11.500a4.5 4.5 0 1 0 0-9 4.5 4.5 0 0 0 0 9M10.5 10.5 13.5 13.5",
  close: "M4 4l8 8M12 4l-8 8",
  plus: "M8 3v10M3 8h10",
  more: "M3.5 8h.01M8 8h.01M12.5 8h.01",
  down: "M4 6.5 8 10.500l4-4",
  right: "M6.5 4l4 4-4 4",
  back: "M9.5 4l-4 4 4 4",
  play: "M5 3.500v9l7-4.500z",
  stop: "M4.5 4.500h7v7h-7z",
  pause: "M5.5 3.500v9M10.5 3.500v9",
  again: "M13 8a5 5 0 1 1-1.6-3.700M13 2.500V5h-2.5",
  copy: "M5.5 5.500h7v7h-7zM3.5 10.500v-7h7",
  check: "M3 8.5 6.5 12 13 4.5",
  warn: "M8 2.5 14 13H2zM8 6.500v3M8 11.300v.01",
  sun: "M8 10.500a2.5 2.5 0 1 0 0-5 2.5 2.5 0 0 0 0 5M8 1.500v1.500M8 13v1.500M1.5 8H3M13 8h1.500M3.4 3.400l1 1M11.6 11.600l1 1M12.6 3.400l-1 1M4.4 11.600l-1 1",
  moon: "M13 9.500A5.5 5.5 0 0 1 6.5 3 5.5 5.5 0 1 0 13 9.5",
  out: "M9.5 3H3.500v10h6M7 8h6.500M11 5.5 13.5 8 11 10.5",
  menu: "M2.5 4.500h11M2.5 8h11M2.5 11.500h11",
  bell: "M4 11.500V7a4 4 0 0 1 8 0v4.500zM2.8 11.500h10.400M7 13.500h2",
  download: "M8 2.500v8M5 7.500l3 3 3-3M3 13h10",
  file: "M4 2.500h5l3 3v8H4zM9 2.500v3h3",
  key: "M6 10a2.8 2.8 0 1 0 0-.01M8 8l5.5-5.500M11 5l1.5 1.5",
  star: "M8 2.500l1.7 3.5 3.8.5-2.8 2.7.7 3.800L8 11.2 4.6 13l.7-3.800L2.5 6.5 6.3 6z",
} as const;

export type IconName = keyof typeof PATHS;

export function Icon({ name, size = 16, className }: { name: IconName; size?: number; className?: string }) {
  return (
    <svg width={size} height={size} viewBox="0 0 16 16" fill="none" stroke="currentColor" strokeWidth="1.4" strokeLinecap="round" strokeLinejoin="round" aria-hidden="true" className={`flex-none ${className ?? ""}`}>
      <path d={PATHS[name]} />
    </svg>
  );
}

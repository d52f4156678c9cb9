// Types of the page's data, for `tsc -p .`. Not part of the page.

type Point = [x: number, y: number];
type Box = [x0: number, y0: number, x1: number, y1: number];
type Side = "right" | "left";
type Shares = Record<string, number>;

interface Group {
  name: string;
  label: string;
  side: Side | null;
  role: string;
  at: [start: number, stop: number];
}

interface Skeleton {
  name: string;
  names: string[];
  groups: Group[];
  bones: [start: number, end: number, role: string, width: number][];
  dots: [point: number, role: string][];
  mirror: number[];
  tethers: [hand: number, arm: number, side: Side][];
  legs?: boolean[];
}

/** Points of a stage: quantized (`data`), or affine maps of an earlier stage (`from`). */
interface EncodedPoints {
  low?: Point;
  step?: number;
  data?: string;
  from?: number;
  sampled?: boolean;
  pick?: number[] | "mirror" | null;
  affine?: number[][];
  seen?: string | null;
}

interface EncodedStage {
  name: string;
  skeleton: string;
  frames: number;
  inds: (number | null)[] | number | null;
  seen: Shares;
  own: Record<string, [share: number, count: number]>;
  wrong: boolean;
  detached: boolean;
  points: EncodedPoints;
  pictures?: string[];
}

interface Stage extends Omit<EncodedStage, "skeleton" | "inds" | "pictures"> {
  skeleton: Skeleton;
  inds: (number | null)[] | null;
  xy: Float32Array;
  disk: Float32Array;
  pictures: HTMLImageElement[];
  unchanged: boolean;
  bounds?: Record<string, Box>;
  follow?: Record<string, { x: number[]; y: number[]; span: Point }>;
  pathBox?: Box;
}

interface Clip {
  total: number;
  stages: Stage[];
  augmentations: Stage[];
}

interface Payload {
  row?: Row;
  total: number;
  stages: EncodedStage[];
  augmentations: EncodedStage[];
  skeletons?: Record<string, Skeleton>;
}

interface Row {
  index: number;
  id: string;
  link: string;
  label: number | null;
  sign: number | null;
  en: string;
  ar: string;
  signer: string;
  split: string;
  category: string;
  frames: number;
  seen: Shares | null;
  hands: Shares | null;
  wrong: string[];
  page: number | null;
  plain?: string;
}

type Column = any[] & { values?: string[]; codes?: number[] };

interface Index {
  count: number;
  columns: Record<string, Column>;
}

interface PageData {
  title: string;
  metadata: Record<string, string>;
  version: string;
  server: string | null;
  pages: { home: string; names?: string[]; before?: string | null; after?: string | null } | null;
  index: Index;
  skeletons: Record<string, Skeleton>;
  clips: Record<string, Payload>;
}

type ViewName = "player" | "compare" | "overlay" | "augmentations";

interface State {
  tab: "clips" | "statistics";
  row: Row | null;
  clip: Clip | null;
  problem: string;
  view: ViewName;
  stage: number;
  frame: number;
  playing: boolean;
  speed: number;
  zoom: boolean;
  tethers: boolean;
  legs: boolean;
  shared: boolean;
  sampled: boolean;
  base: number;
  ghost: number;
  trail: number;
}

/** A region of a clip's coordinates shown in a panel: its center, and units per pixel. */
interface View {
  x: number;
  y: number;
  unit: number;
  width: number;
  height: number;
}

type Pen = CanvasRenderingContext2D;

interface Shown {
  stage: Stage;
  t: number;
  view: View;
  group?: Group | null;
}

interface Panel {
  node: HTMLElement;
  canvas: HTMLCanvasElement;
  note: HTMLElement;
  shown: Shown | null;
}

interface DrawOptions {
  group?: Group | null;
  ghost?: boolean;
  tethers?: boolean;
  size?: number;
  alpha?: number;
}

/** The panels of a view, and how to paint them. */
interface Layout {
  panels: Panel[];
  paint: () => void;
  layout?: string;
  frame?: Box;
}

interface ViewType {
  label: string;
  title: string;
  build: (clip: Clip) => Layout;
  usable: (clip: Clip) => boolean;
}

interface KeyInput {
  shiftKey: boolean;
}

// The page of `karsl report`.

interface Estimate {
  value: number;
  low: number;
  high: number;
}

interface GroupRow {
  name: string;
  clips: number;
  metrics: Record<string, Estimate>;
}

interface ReportClass {
  label: number;
  sign: number | null;
  name: string;
  arabic: string;
  support: number;
  predicted: number;
  precision: number;
  recall: number | null;
  f1: number | null;
}

interface ReportModel {
  report: {
    file: string;
    checkpoint: string[];
    clips: number;
    metrics: Record<string, Estimate>;
    signers: GroupRow[];
    categories: GroupRow[];
    macro: Record<string, number>;
    classes: ReportClass[];
    confused: { true: number; predicted: number; clips: number; share: number }[];
    calibration: {
      ece: number;
      bins: { from: number; to: number; clips: number; confidence: number; accuracy: number }[];
    } | null;
    bootstrap: { resamples: number; seed: number };
  };
  clips: {
    id: string[];
    link: (string | null)[];
    signer: string[];
    label: number[];
    predicted: number[];
    confidence: number[];
  };
  cluster: number[];
}

interface ReportData {
  title: string;
  version: string;
  browse: string;
  models: ReportModel[];
  comparisons: {
    file: string;
    baseline: string;
    differences: Record<string, Estimate>;
    both: number;
    baseline_only: number;
    other_only: number;
    neither: number;
  }[];
}

type ClassRow = Pick<ReportClass, "label" | "sign"> & { en: string; ar: string; id: string; link: string };

interface MatrixState {
  classes: any[];
  counts: Uint32Array;
  support: number[];
  order: number[];
  position: number[];
  share: boolean;
  correct: boolean;
  scale: number;
  x: number;
  y: number;
  selected: number[] | null;
  hover: number[] | null;
  found: Set<number>;
  picture: HTMLCanvasElement | null;
  coarse: boolean;
}

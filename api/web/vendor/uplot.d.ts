type Values = (number | null)[];

export default class UPlot {
  static paths: { bars(options: { size: number[] }): object };
  constructor(options: object, data: Values[], parent: HTMLElement);
  cursor: { idx: number | null | undefined };
  data: Values[];
  redraw(rebuildPaths?: boolean): void;
  setData(data: Values[]): void;
  setSize(size: { width: number; height: number }): void;
}

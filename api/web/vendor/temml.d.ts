declare const temml: {
  /** The formula as MathML. Throws where it cannot be read. */
  renderToString(formula: string, options: { displayMode: boolean; throwOnError: boolean; maxSize: number[] }): string;
};
export default temml;

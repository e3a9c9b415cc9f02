export interface Token {
  type: string;
  raw: string;
}

export class Marked {
  constructor(options: object);
  lexer(text: string): Token[];
  parse(text: string): string;
}

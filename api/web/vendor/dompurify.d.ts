declare const DOMPurify: { sanitize(html: string, options: { RETURN_DOM_FRAGMENT: boolean }): DocumentFragment };
export default DOMPurify;
